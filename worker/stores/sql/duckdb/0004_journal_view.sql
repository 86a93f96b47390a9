-- An applied record is recorded on the row that it led to: a signup on its customer, a cancellation on its event. No data
-- is moved: applied decisions of earlier versions stay in `decisions`.
ALTER TABLE customers ADD COLUMN source_topic VARCHAR; -- of the signup; NULL: its decision is in `decisions`
ALTER TABLE customers ADD COLUMN source_partition INTEGER;
ALTER TABLE customers ADD COLUMN source_offset BIGINT;
ALTER TABLE customers ADD COLUMN decided_at TIMESTAMP; -- UTC
ALTER TABLE outbox ADD COLUMN source_topic VARCHAR; -- of the cancellation that led to the event; NULL as above
ALTER TABLE outbox ADD COLUMN source_partition INTEGER;
ALTER TABLE outbox ADD COLUMN source_offset BIGINT;
ALTER TABLE outbox ADD COLUMN decided_at TIMESTAMP; -- UTC; also of dead letters

-- Appended to only. The decisions about a record are in the order of `rowid`; `applied`, if any, comes after them.
DROP VIEW dead_letters;
ALTER TABLE journal RENAME TO decisions;

CREATE VIEW applied AS
SELECT
    decided_at AS "at", source_topic AS topic, source_partition AS partition, source_offset AS "offset", customer_id,
    NULL::UUID AS event_id
FROM customers WHERE source_topic IS NOT NULL
UNION ALL
SELECT decided_at, source_topic, source_partition, source_offset, customer_id, try_cast(id AS UUID)
FROM outbox WHERE source_topic IS NOT NULL;

CREATE VIEW journal AS
SELECT "at", topic, partition, "offset", customer_id, outcome, reason, event_id FROM decisions
UNION ALL
SELECT "at", topic, partition, "offset", customer_id, 'applied', NULL, event_id FROM applied;

-- Decisions in the order of `number`, as far as they are about the same record.
CREATE VIEW numbered_decisions AS
SELECT topic, partition, "offset", outcome, "at", reason, rowid AS number FROM decisions
UNION ALL
SELECT topic, partition, "offset", 'applied', "at", NULL, 9223372036854775807 FROM applied;

-- As in version 3, with the order of the decisions about a record.
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
        numbered_decisions.topic, numbered_decisions.partition, numbered_decisions."offset", arg_max(outcome, number) AS outcome,
        max("at") FILTER (outcome = 'rejected') AS refused_at,
        arg_max(reason, number) FILTER (outcome = 'rejected') AS reason
    FROM numbered_decisions JOIN places
        ON numbered_decisions.topic = places.topic AND numbered_decisions.partition = places.partition
        AND numbered_decisions."offset" = places."offset"
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

-- All that changes with nearly every batch, in one row: each statement on a few rows costs about a millisecond.
CREATE TABLE progress (
    positions VARCHAR NOT NULL, -- JSON: {topic: {partition: [next_offset, record_offset, record_fingerprint]}}
    topic_ids VARCHAR NOT NULL, -- JSON: {topic: {partition: topic_id}}
    output_ends VARCHAR NOT NULL, -- JSON: {topic: {partition: end_offset}}
    published_seq BIGINT NOT NULL
);
INSERT INTO progress
SELECT
    (SELECT coalesce(json_group_object(topic, places), '{}') FROM (
        SELECT topic, json_group_object(partition, [next_offset, record_offset, record_fingerprint]) AS places
        FROM positions GROUP BY topic
    )),
    (SELECT coalesce(json_group_object(topic, ids), '{}') FROM (
        SELECT topic, json_group_object(partition, topic_id) AS ids
        FROM positions WHERE topic_id IS NOT NULL GROUP BY topic
    )),
    (SELECT coalesce(json_group_object(topic, ends), '{}') FROM (
        SELECT topic, json_group_object(partition, end_offset) AS ends FROM output_ends GROUP BY topic
    )),
    published_seq
FROM relay;
DROP TABLE positions;
DROP TABLE output_ends;
DROP TABLE relay;

CREATE VIEW positions AS
WITH topics AS (
    SELECT unnest(map_entries(positions::JSON::MAP(VARCHAR, MAP(INTEGER, BIGINT[]))), recursive := true) FROM progress
), partitions AS (
    SELECT key AS topic, unnest(map_entries(value)) AS entry FROM topics
), topics_with_ids AS (
    SELECT unnest(map_entries(topic_ids::JSON::MAP(VARCHAR, MAP(INTEGER, UUID))), recursive := true) FROM progress
), ids AS (
    SELECT key AS topic, unnest(map_entries(value)) AS entry FROM topics_with_ids
)
SELECT
    partitions.topic, partitions.entry.key AS partition, partitions.entry.value[1] AS next_offset,
    ids.entry.value AS topic_id, partitions.entry.value[2] AS record_offset,
    partitions.entry.value[3] AS record_fingerprint
FROM partitions LEFT JOIN ids ON ids.topic = partitions.topic AND ids.entry.key = partitions.entry.key;

CREATE VIEW output_ends AS
WITH topics AS (
    SELECT unnest(map_entries(output_ends::JSON::MAP(VARCHAR, MAP(INTEGER, BIGINT))), recursive := true) FROM progress
), partitions AS (
    SELECT key AS topic, unnest(map_entries(value)) AS entry FROM topics
)
SELECT topic, entry.key AS partition, entry.value AS end_offset FROM partitions;

CREATE VIEW relay AS SELECT published_seq FROM progress;
