"""Dead letters in PostgreSQL, by outbox (the records), journal (the decisions) and `redrives` (what was sent again)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.stores.dead_letters import Filters, StoredLetter, StoredRecord, WaitingLetter
from worker.stores.postgres import rows
from worker.stores.postgres.connection import Connection
from worker.stores.row_codec import decode_headers

_ANY_SIZE = 2**31 - 1
_LETTERS = f"""
WITH letters AS MATERIALIZED (
    SELECT
        {rows.ROW_NUMBER} AS seq, id, sources.source AS topic, partition, customer_id, outbox.topic AS letter_topic,
        split_part(split_part(id, '@', 1), '/', 3)::bigint AS place, split_part(id, '@', 2)::bigint AS timestamp_ms,
        value
    FROM outbox JOIN unnest(%(letter_topics)s::text[], %(sources)s::text[]) AS sources (letter_topic, source)
        ON sources.letter_topic = outbox.topic
    WHERE (%(topic)s::text IS NULL OR sources.source = %(topic)s)
        AND (%(customer)s::uuid IS NULL OR customer_id = %(customer)s::uuid)
        AND (cardinality(%(ids)s::text[]) = 0 OR id = ANY(%(ids)s) OR split_part(id, '@', 1) = ANY(%(ids)s))
), sent AS MATERIALIZED (
    SELECT DISTINCT ON (known.id)
        known.id, redrives.topic, redrives.partition, redrives."offset" AS place
    FROM redrives JOIN letters AS known ON known.id = dead_letter_id AND known.topic = redrives.topic
    WHERE encode(sha256(coalesce(known.value, ''::bytea)), 'hex') = value_sha256
    ORDER BY known.id, redrives.row_id DESC
), places AS (
    SELECT topic, partition, place FROM letters UNION SELECT topic, partition, place FROM sent
), decided AS MATERIALIZED (
    SELECT
        journal.topic, journal.partition, place, (array_agg(outcome ORDER BY journal.id DESC))[1] AS outcome,
        max("at") FILTER (WHERE outcome = 'rejected') AS refused_at,
        (array_agg(reason ORDER BY journal.id DESC) FILTER (WHERE outcome = 'rejected'))[1] AS reason
    FROM journal JOIN places
        ON journal.topic = places.topic AND journal.partition = places.partition AND "offset" = place
    GROUP BY journal.topic, journal.partition, place
)
SELECT
    seq, letters.id, letters.topic, letters.partition, letters.place, timestamp_ms, own.refused_at, own.reason,
    own.outcome, letters.customer_id::text, mrr::text, churn_date,
    sent.topic || '/' || sent.partition || '/' || sent.place, its.outcome, discarded.why
FROM letters
JOIN decided AS own
    ON own.topic = letters.topic AND own.partition = letters.partition AND own.place = letters.place
LEFT JOIN sent ON sent.id = letters.id
LEFT JOIN decided AS its ON its.topic = sent.topic AND its.partition = sent.partition AND its.place = sent.place
LEFT JOIN (
    SELECT DISTINCT ON (dead_letter_id) dead_letter_id, why FROM discards ORDER BY dead_letter_id, row_id DESC
) AS discarded ON discarded.dead_letter_id = letters.id
LEFT JOIN customers ON customers.customer_id = letters.customer_id
WHERE (%(reason)s::text IS NULL OR own.reason = %(reason)s)
    AND (%(before)s::timestamptz IS NULL OR own.refused_at < %(before)s)
    AND (%(since)s::timestamptz IS NULL OR own.refused_at >= %(since)s)
ORDER BY seq
"""


def letters(db: Connection, sources: Mapping[str, str], filters: Filters) -> list[StoredLetter]:
    """The dead letters that are meant, in the order they were written; `sources` is where each topic's came from.

    A letter's `seq` is its row's number in the outbox, which it has from the start.
    """
    return [StoredLetter(*row) for row in db.execute(_LETTERS.encode(), _parameters(sources, filters)).fetchall()]


def _parameters(sources: Mapping[str, str], filters: Filters) -> dict[str, Any]:
    return {
        "letter_topics": list(sources),
        "sources": list(sources.values()),
        "topic": filters.topic,
        "customer": filters.customer,
        "ids": list(filters.ids),
        "reason": filters.reason,
        "before": filters.refused_before,
        "since": filters.refused_since,
    }


def letter_records(
    db: Connection, seqs: Sequence[int], *, up_to_bytes: int, largest_value: int | None = None
) -> list[StoredRecord]:
    """The records of these rows, in order: as many as have `up_to_bytes` of values and headers, and one at least.

    A value over `largest_value` bytes is left out of its record.
    """
    query = f"""
        SELECT seq, partition, key, taken, headers FROM (
            SELECT *, sum(bytes) OVER (ORDER BY seq) - bytes AS before FROM (
                SELECT *, coalesce(octet_length(taken), 0) + octet_length(headers) AS bytes FROM (
                    SELECT
                        {rows.ROW_NUMBER} AS seq, partition, key, headers,
                        CASE WHEN octet_length(value) <= %(largest)s THEN value END AS taken
                    FROM outbox WHERE {rows.WITH_ROW_NUMBERS}
                ) AS wanted
            ) AS measured
        ) AS counted
        WHERE before < %(bytes)s ORDER BY seq
    """
    parameters = {
        "numbers": list(seqs),
        "bytes": up_to_bytes,
        "largest": _ANY_SIZE if largest_value is None else largest_value,
    }
    found = db.execute(query.encode(), parameters).fetchall()
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


def waiting_letters(db: Connection, sources: Mapping[str, str]) -> list[WaitingLetter]:
    """The dead letters that are not settled, in the order they were written."""
    return [WaitingLetter(*row) for row in db.execute(_WAITING.encode(), _parameters(sources, Filters())).fetchall()]
