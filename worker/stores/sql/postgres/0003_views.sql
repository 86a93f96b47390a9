-- ARR and the state of a dead letter, each defined once: tests compare both with the domain.

-- ARR: 12 months, rounded half up to cents (MRR.annual).
CREATE VIEW customer_arr AS
SELECT customer_id, churn_date, round(mrr * 12, 2) AS arr FROM customers;

-- Each dead letter: the last decision about its record, the record that sent it again, and its state
-- (StoredLetter.state). A letter's id is `topic/partition/offset@timestamp` of its record; events have no partition.
-- Unlike DuckDB's, it looks up each letter by the journal's index, so that a query for a few letters takes few look-ups.
CREATE VIEW dead_letters AS
SELECT
    letter.seq, letter.id, letter.letter_topic, letter.topic, letter.partition, letter."offset", letter.timestamp_ms,
    letter.customer_id, own.refused_at, own.reason, own.outcome,
    sent.topic || '/' || sent.partition || '/' || sent."offset" AS redriven_to, its.outcome AS redrive_outcome,
    discarded.why AS discarded_because,
    CASE
        WHEN own.outcome IN ('applied', 'duplicate') THEN 'applied' -- read once more from where it stood
        WHEN own.outcome = 'parked' THEN 'redriven'
        WHEN its.outcome IN ('applied', 'duplicate') THEN 'applied' -- sent again
        WHEN its.outcome = 'parked' THEN 'redriven'
        WHEN its.outcome = 'rejected' THEN 'refused_again'
        WHEN discarded.why IS NOT NULL THEN 'discarded'
        ELSE 'open'
    END AS state
FROM (
    SELECT
        (commit_id << 24) + place AS seq, -- the row's number, which it has from the start
        id, topic AS letter_topic, split_part(id, '/', 1) AS topic, partition,
        split_part(split_part(id, '@', 1), '/', 3)::bigint AS "offset", split_part(id, '@', 2)::bigint AS timestamp_ms,
        customer_id, value
    FROM outbox WHERE partition IS NOT NULL
) AS letter
JOIN LATERAL (
    SELECT
        (array_agg(outcome ORDER BY journal.id DESC))[1] AS outcome,
        max("at") FILTER (WHERE outcome = 'rejected') AS refused_at,
        (array_agg(reason ORDER BY journal.id DESC) FILTER (WHERE outcome = 'rejected'))[1] AS reason
    FROM journal
    WHERE journal.topic = letter.topic AND journal.partition = letter.partition AND journal."offset" = letter."offset"
) AS own ON own.outcome IS NOT NULL
LEFT JOIN LATERAL ( -- the last redrive that has the letter's own value
    SELECT redrives.topic, redrives.partition, redrives."offset" FROM redrives
    WHERE dead_letter_id = letter.id AND redrives.topic = letter.topic
        AND value_sha256 = encode(sha256(coalesce(letter.value, ''::bytea)), 'hex')
    ORDER BY row_id DESC LIMIT 1
) AS sent ON true
LEFT JOIN LATERAL (
    SELECT journal.outcome FROM journal
    WHERE journal.topic = sent.topic AND journal.partition = sent.partition AND journal."offset" = sent."offset"
    ORDER BY journal.id DESC LIMIT 1
) AS its ON true
LEFT JOIN (
    SELECT DISTINCT ON (dead_letter_id) dead_letter_id, why FROM discards ORDER BY dead_letter_id, row_id DESC
) AS discarded ON discarded.dead_letter_id = letter.id;
