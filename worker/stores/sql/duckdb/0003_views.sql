-- ARR and the state of a dead letter, each defined once: tests compare both with the domain.

-- ARR: 12 months, rounded half up to cents (MRR.annual). The type of `mrr` does not hold the largest.
CREATE VIEW customer_arr AS
SELECT customer_id, churn_date, round(mrr::DECIMAL(38, 6) * 12, 2)::DECIMAL(38, 2) AS arr FROM customers;

-- Each dead letter: the last decision about its record, the record that sent it again, and its state
-- (StoredLetter.state). A letter's id is `topic/partition/offset@timestamp` of its record; events have no partition.
CREATE VIEW dead_letters AS
WITH letters AS MATERIALIZED (
    SELECT
        seq, id, topic AS letter_topic, split_part(id, '/', 1) AS topic, partition,
        split_part(split_part(id, '@', 1), '/', 3)::BIGINT AS "offset", split_part(id, '@', 2)::BIGINT AS timestamp_ms,
        customer_id
    FROM outbox WHERE partition IS NOT NULL
), sent AS MATERIALIZED ( -- the last redrive that has the letter's own value
    SELECT
        dead_letter_id AS id, arg_max(redrives.topic, redrives.rowid) AS topic,
        arg_max(redrives.partition, redrives.rowid) AS partition, arg_max(redrives."offset", redrives.rowid) AS "offset"
    FROM redrives JOIN (SELECT * FROM letters WHERE id IN (SELECT dead_letter_id FROM redrives)) AS known
        ON known.id = dead_letter_id AND known.topic = redrives.topic
    JOIN outbox ON outbox.seq = known.seq
    WHERE sha256(coalesce(outbox.value, ''::BLOB)) = value_sha256
    GROUP BY dead_letter_id
), places AS (
    SELECT topic, partition, "offset" FROM letters UNION SELECT topic, partition, "offset" FROM sent
), decided AS MATERIALIZED (
    SELECT
        journal.topic, journal.partition, journal."offset", arg_max(outcome, journal.rowid) AS outcome,
        max("at") FILTER (outcome = 'rejected') AS refused_at,
        arg_max(reason, journal.rowid) FILTER (outcome = 'rejected') AS reason
    FROM journal JOIN places
        ON journal.topic = places.topic AND journal.partition = places.partition
        AND journal."offset" = places."offset"
    GROUP BY ALL
)
SELECT
    seq, letters.id, letter_topic, letters.topic, letters.partition, letters."offset", timestamp_ms, customer_id,
    own.refused_at, own.reason, own.outcome,
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
FROM letters
JOIN decided AS own
    ON own.topic = letters.topic AND own.partition = letters.partition AND own."offset" = letters."offset"
LEFT JOIN sent ON sent.id = letters.id
LEFT JOIN decided AS its
    ON its.topic = sent.topic AND its.partition = sent.partition AND its."offset" = sent."offset"
LEFT JOIN (SELECT dead_letter_id, arg_max(why, rowid) AS why FROM discards GROUP BY dead_letter_id) AS discarded
    ON discarded.dead_letter_id = letters.id;
