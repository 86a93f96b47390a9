-- An applied record is recorded on the row that it led to: a signup on its customer, a cancellation on its event. No data
-- is moved: applied decisions of earlier versions stay in `decisions`.
ALTER TABLE customers
    ADD COLUMN source_topic TEXT, -- of the signup; NULL: its decision is in `decisions`
    ADD COLUMN source_partition INTEGER,
    ADD COLUMN source_offset BIGINT,
    ADD COLUMN decided_at TIMESTAMPTZ;
ALTER TABLE outbox
    ADD COLUMN source_topic TEXT, -- of the cancellation that led to the event; NULL as above
    ADD COLUMN source_partition INTEGER,
    ADD COLUMN source_offset BIGINT,
    ADD COLUMN decided_at TIMESTAMPTZ; -- also of dead letters
-- As those of `decisions`. No batch changes these columns: an update of a customer writes to no index (HOT).
CREATE INDEX customers_source ON customers (source_partition, source_offset) WHERE source_topic IS NOT NULL;
CREATE INDEX outbox_source ON outbox (source_partition, source_offset) WHERE source_topic IS NOT NULL;
CREATE INDEX outbox_customer ON outbox (customer_id) WHERE source_topic IS NOT NULL;

-- Appended to only. The decisions about a record are in the order of `id`; `applied`, if any, comes after them.
DROP VIEW dead_letters;
ALTER TABLE journal RENAME TO decisions;
ALTER INDEX journal_customer RENAME TO decisions_customer;
ALTER INDEX journal_place RENAME TO decisions_place;
ALTER INDEX journal_given_up RENAME TO decisions_abandoned;

CREATE VIEW applied AS
SELECT
    decided_at AS "at", source_topic AS topic, source_partition AS partition, source_offset AS "offset", customer_id,
    NULL::uuid AS event_id
FROM customers WHERE source_topic IS NOT NULL
UNION ALL
SELECT
    decided_at, source_topic, source_partition, source_offset, customer_id,
    CASE WHEN source_topic IS NOT NULL THEN id::uuid END -- conditions are evaluated in any order: other ids are no UUIDs
FROM outbox WHERE source_topic IS NOT NULL;

-- A join with it reads whole tables: PostgreSQL plans parts with a condition by themselves. A LATERAL subquery with LIMIT
-- looks up each record by the indexes.
CREATE VIEW journal AS
SELECT "at", topic, partition, "offset", customer_id, outcome, reason, event_id FROM decisions
UNION ALL
SELECT
    decided_at, source_topic, source_partition, source_offset, customer_id, 'applied'::text, NULL::text, NULL::uuid
FROM customers WHERE source_topic IS NOT NULL
UNION ALL
SELECT
    decided_at, source_topic, source_partition, source_offset, customer_id, 'applied'::text, NULL::text,
    CASE WHEN source_topic IS NOT NULL THEN id::uuid END
FROM outbox WHERE source_topic IS NOT NULL;

-- Who may read the table may read the view.
DO $$
DECLARE
    reader TEXT;
BEGIN
    FOR reader IN
        SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        FROM pg_class, aclexplode(relacl)
        WHERE pg_class.oid = 'decisions'::regclass AND privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON journal TO %s', reader);
    END LOOP;
END $$;

-- Decisions in the order of `number`, as far as they are about the same record.
CREATE VIEW numbered_decisions AS
SELECT topic, partition, "offset", outcome, "at", reason, id AS number FROM decisions
UNION ALL
SELECT
    source_topic, source_partition, source_offset, 'applied'::text, decided_at, NULL::text, 9223372036854775807::bigint
FROM customers WHERE source_topic IS NOT NULL
UNION ALL
SELECT
    source_topic, source_partition, source_offset, 'applied'::text, decided_at, NULL::text, 9223372036854775807::bigint
FROM outbox WHERE source_topic IS NOT NULL;

-- As in version 3, with the order of the decisions about a record.
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
        (array_agg(outcome ORDER BY number DESC))[1] AS outcome,
        max("at") FILTER (WHERE outcome = 'rejected') AS refused_at,
        (array_agg(reason ORDER BY number DESC) FILTER (WHERE outcome = 'rejected'))[1] AS reason
    FROM numbered_decisions AS decision
    WHERE decision.topic = letter.topic AND decision.partition = letter.partition AND decision."offset" = letter."offset"
) AS own ON own.outcome IS NOT NULL
LEFT JOIN LATERAL ( -- the last redrive that has the letter's own value
    SELECT redrives.topic, redrives.partition, redrives."offset" FROM redrives
    WHERE dead_letter_id = letter.id AND redrives.topic = letter.topic
        AND value_sha256 = encode(sha256(coalesce(letter.value, ''::bytea)), 'hex')
    ORDER BY row_id DESC LIMIT 1
) AS sent ON true
LEFT JOIN LATERAL (
    SELECT decision.outcome FROM numbered_decisions AS decision
    WHERE decision.topic = sent.topic AND decision.partition = sent.partition AND decision."offset" = sent."offset"
    ORDER BY number DESC LIMIT 1
) AS its ON true
LEFT JOIN (
    SELECT DISTINCT ON (dead_letter_id) dead_letter_id, why FROM discards ORDER BY dead_letter_id, row_id DESC
) AS discarded ON discarded.dead_letter_id = letter.id;
