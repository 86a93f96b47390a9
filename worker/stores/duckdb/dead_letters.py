"""Dead letters in DuckDB: the outbox has the records, the journal what was decided, `redrives` what was sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import duckdb

from worker.stores.dead_letters import Filters, StoredLetter, StoredRecord, WaitingLetter
from worker.stores.row_codec import decode_headers

_ANY_SIZE = 2**62
_LETTERS = """
WITH letters AS MATERIALIZED (
    SELECT
        seq, id, sources.source AS topic, partition, customer_id, outbox.topic AS letter_topic,
        split_part(split_part(id, '@', 1), '/', 3)::BIGINT AS place, split_part(id, '@', 2)::BIGINT AS timestamp_ms
    FROM outbox JOIN (SELECT unnest($letter_topics) AS letter_topic, unnest($sources) AS source) AS sources
        ON sources.letter_topic = outbox.topic
    WHERE ($topic IS NULL OR sources.source = $topic)
        AND ($customer IS NULL OR customer_id = $customer::UUID)
        AND (len($ids) = 0 OR list_contains($ids, id) OR list_contains($ids, split_part(id, '@', 1)))
), sent AS MATERIALIZED (
    SELECT
        dead_letter_id AS id, arg_max(redrives.topic, redrives.rowid) AS topic,
        arg_max(redrives.partition, redrives.rowid) AS partition, arg_max("offset", redrives.rowid) AS place
    FROM redrives JOIN (SELECT * FROM letters WHERE id IN (SELECT dead_letter_id FROM redrives)) AS known
        ON known.id = dead_letter_id AND known.topic = redrives.topic
    JOIN outbox ON outbox.seq = known.seq
    WHERE sha256(coalesce(outbox.value, ''::BLOB)) = value_sha256
    GROUP BY dead_letter_id
), places AS (
    SELECT topic, partition, place FROM letters UNION SELECT topic, partition, place FROM sent
), decided AS MATERIALIZED (
    SELECT
        journal.topic, journal.partition, place, arg_max(outcome, journal.rowid) AS outcome,
        max("at") FILTER (outcome = 'rejected') AS refused_at,
        arg_max(reason, journal.rowid) FILTER (outcome = 'rejected') AS reason
    FROM journal JOIN places
        ON journal.topic = places.topic AND journal.partition = places.partition AND "offset" = place
    GROUP BY ALL
)
SELECT
    seq, letters.id, letters.topic, letters.partition, letters.place, timestamp_ms, own.refused_at, own.reason,
    own.outcome, letters.customer_id::VARCHAR, mrr::VARCHAR, churn_date,
    sent.topic || '/' || sent.partition || '/' || sent.place, its.outcome, discarded.why
FROM letters
JOIN decided AS own
    ON own.topic = letters.topic AND own.partition = letters.partition AND own.place = letters.place
LEFT JOIN sent ON sent.id = letters.id
LEFT JOIN decided AS its ON its.topic = sent.topic AND its.partition = sent.partition AND its.place = sent.place
LEFT JOIN (SELECT dead_letter_id, arg_max(why, rowid) AS why FROM discards GROUP BY dead_letter_id) AS discarded
    ON discarded.dead_letter_id = letters.id
LEFT JOIN customers ON customers.customer_id = letters.customer_id
WHERE ($reason IS NULL OR own.reason = $reason)
    AND ($before IS NULL OR own.refused_at < $before)
    AND ($since IS NULL OR own.refused_at >= $since)
ORDER BY seq
"""


def letters(db: duckdb.DuckDBPyConnection, sources: Mapping[str, str], filters: Filters) -> list[StoredLetter]:
    """The dead letters that are meant, in the order they were written; `sources` is where each topic's came from."""
    found = db.execute(_LETTERS, _parameters(sources, filters)).fetchall()
    place = StoredLetter._fields.index("refused_at")
    return [StoredLetter._make((*row[:place], row[place].replace(tzinfo=UTC), *row[place + 1 :])) for row in found]


def _parameters(sources: Mapping[str, str], filters: Filters) -> dict[str, Any]:
    before, since = (
        moment and moment.astimezone(UTC).replace(tzinfo=None)
        for moment in (filters.refused_before, filters.refused_since)
    )
    return {
        "letter_topics": list(sources),
        "sources": list(sources.values()),
        "topic": filters.topic,
        "customer": filters.customer,
        "ids": list(filters.ids),
        "reason": filters.reason,
        "before": before,
        "since": since,
    }


def letter_records(
    db: duckdb.DuckDBPyConnection, seqs: Sequence[int], *, up_to_bytes: int, largest_value: int | None = None
) -> list[StoredRecord]:
    """The records of these rows, in order: as many as have `up_to_bytes` of values and headers, and one at least.

    A value over `largest_value` bytes is left out of its record.
    """
    query = """
        WITH wanted AS (
            SELECT
                seq, partition, key, CASE WHEN octet_length(value) <= $largest THEN value END AS taken, headers,
                coalesce(octet_length(taken), 0) + octet_length(headers) AS bytes
            FROM outbox WHERE seq BETWEEN $first AND $last AND seq IN (SELECT unnest($seqs))
        )
        SELECT seq, partition, key, taken, headers FROM wanted
        QUALIFY sum(bytes) OVER (ORDER BY seq) - bytes < $bytes ORDER BY seq
    """
    parameters = {
        "seqs": list(seqs),
        "first": min(seqs, default=0),
        "last": max(seqs, default=0),
        "bytes": up_to_bytes,
        "largest": _ANY_SIZE if largest_value is None else largest_value,
    }
    found = db.execute(query, parameters).fetchall()
    return [
        StoredRecord(seq, partition, key, value, decode_headers(headers))
        for seq, partition, key, value, headers in found
    ]


_COLUMNS = ", ".join(f'"{name}"' for name in StoredLetter._fields)
_WAITING = f"""
SELECT seq, topic, customer_id, mrr, churn_date IS NOT NULL, refused_at FROM ({_LETTERS}) AS letter({_COLUMNS})
WHERE CASE -- as `StoredLetter.state` has it
    WHEN outcome IN ('applied', 'duplicate') THEN false
    WHEN outcome = 'parked' THEN true
    WHEN redrive_outcome IN ('applied', 'duplicate', 'rejected') THEN false
    ELSE redrive_outcome IS NOT NULL OR discarded_because IS NULL
END
ORDER BY seq
"""


def waiting_letters(db: duckdb.DuckDBPyConnection, sources: Mapping[str, str]) -> list[WaitingLetter]:
    """The dead letters that are not settled, in the order they were written."""
    found = db.execute(_WAITING, _parameters(sources, Filters())).fetchall()
    return [WaitingLetter._make((*row[:-1], row[-1].replace(tzinfo=UTC))) for row in found]
