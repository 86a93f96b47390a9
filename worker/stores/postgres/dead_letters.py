"""Dead letters in PostgreSQL, by outbox (the records), journal (the decisions) and `redrives` (redriven records)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.stores.dead_letters import WAITING, Filters, StoredLetter, StoredRecord, WaitingLetter
from worker.stores.postgres import rows
from worker.stores.postgres.connection import Connection
from worker.stores.row_codec import decode_headers

_ANY_SIZE = 2**31 - 1
_LETTERS = """
SELECT
    seq, id, topic, partition, "offset", timestamp_ms, refused_at, reason, outcome, customer_id::text, mrr::text,
    churn_date, redriven_to, redrive_outcome, discarded_because
FROM dead_letters LEFT JOIN customers USING (customer_id)
WHERE letter_topic = ANY(%(letter_topics)s)
    AND (%(topic)s::text IS NULL OR topic = %(topic)s)
    AND (%(customer)s::uuid IS NULL OR customer_id = %(customer)s::uuid)
    AND (cardinality(%(ids)s::text[]) = 0 OR id = ANY(%(ids)s) OR split_part(id, '@', 1) = ANY(%(ids)s))
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(before)s::timestamptz IS NULL OR refused_at < %(before)s)
    AND (%(since)s::timestamptz IS NULL OR refused_at >= %(since)s)
    AND (cardinality(%(states)s::text[]) = 0 OR state = ANY(%(states)s))
ORDER BY seq DESC LIMIT %(newest)s
"""


def letters(db: Connection, sources: Mapping[str, str], filters: Filters) -> list[StoredLetter]:
    """Return the selected dead letters in the order they were written; `sources` has the source of each topic.

    `seq` is the number of the letter's row in the outbox; a row has it from the start.
    """
    found = db.execute(_LETTERS.encode(), _parameters(sources, filters)).fetchall()
    return [StoredLetter(*row) for row in reversed(found)]


def _parameters(sources: Mapping[str, str], filters: Filters) -> dict[str, Any]:
    return {
        "letter_topics": list(sources),
        "topic": filters.topic,
        "customer": filters.customer,
        "ids": list(filters.ids),
        "reason": filters.reason,
        "before": filters.refused_before,
        "since": filters.refused_since,
        "states": [state.value for state in filters.states],
        "newest": filters.newest,
    }


def letter_records(
    db: Connection, seqs: Sequence[int], *, up_to_bytes: int, largest_value: int | None = None
) -> list[StoredRecord]:
    """Return the records of these rows, in order: up to `up_to_bytes` of values and headers, at least one.

    Values over `largest_value` bytes are omitted.
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


_WAITING = f"""
SELECT seq, topic, customer_id::text, mrr::text, churn_date IS NOT NULL, refused_at
FROM dead_letters LEFT JOIN customers USING (customer_id)
WHERE letter_topic = ANY(%(letter_topics)s) AND state IN ({", ".join(f"'{state}'" for state in WAITING)})
ORDER BY seq
"""


def waiting_letters(db: Connection, sources: Mapping[str, str]) -> list[WaitingLetter]:
    """Return the unsettled dead letters in the order they were written."""
    found = db.execute(_WAITING.encode(), {"letter_topics": list(sources)}).fetchall()
    return [WaitingLetter(*row) for row in found]
