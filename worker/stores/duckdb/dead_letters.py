"""Dead letters in DuckDB, by outbox (the records), journal (the decisions) and `redrives` (redriven records)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import duckdb

from worker.stores.dead_letters import WAITING, Filters, StoredLetter, StoredRecord, WaitingLetter
from worker.stores.row_codec import decode_headers

_ANY_SIZE = 2**62
_LETTERS = """
SELECT
    seq, id, topic, partition, "offset", timestamp_ms, refused_at, reason, outcome, customer_id::VARCHAR, mrr::VARCHAR,
    churn_date, redriven_to, redrive_outcome, discarded_because
FROM dead_letters LEFT JOIN customers USING (customer_id)
WHERE list_contains($letter_topics, letter_topic)
    AND ($topic IS NULL OR topic = $topic)
    AND ($customer IS NULL OR customer_id = $customer::UUID)
    AND (len($ids) = 0 OR list_contains($ids, id) OR list_contains($ids, split_part(id, '@', 1)))
    AND ($reason IS NULL OR reason = $reason)
    AND ($before IS NULL OR refused_at < $before)
    AND ($since IS NULL OR refused_at >= $since)
    AND (len($states) = 0 OR list_contains($states, state))
ORDER BY seq DESC LIMIT $newest
"""


def letters(db: duckdb.DuckDBPyConnection, sources: Mapping[str, str], filters: Filters) -> list[StoredLetter]:
    """Return the selected dead letters in the order they were written; `sources` has the source of each topic."""
    found = reversed(db.execute(_LETTERS, _parameters(sources, filters)).fetchall())
    place = StoredLetter._fields.index("refused_at")
    return [StoredLetter._make((*row[:place], row[place].replace(tzinfo=UTC), *row[place + 1 :])) for row in found]


def _parameters(sources: Mapping[str, str], filters: Filters) -> dict[str, Any]:
    before, since = (
        moment and moment.astimezone(UTC).replace(tzinfo=None)
        for moment in (filters.refused_before, filters.refused_since)
    )
    return {
        "letter_topics": list(sources),
        "topic": filters.topic,
        "customer": filters.customer,
        "ids": list(filters.ids),
        "reason": filters.reason,
        "before": before,
        "since": since,
        "states": [state.value for state in filters.states],
        "newest": filters.newest,
    }


def letter_records(
    db: duckdb.DuckDBPyConnection, seqs: Sequence[int], *, up_to_bytes: int, largest_value: int | None = None
) -> list[StoredRecord]:
    """Return the records of these rows, in order: up to `up_to_bytes` of values and headers, at least one.

    Values over `largest_value` bytes are omitted.
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


_WAITING = f"""
SELECT seq, topic, customer_id::VARCHAR, mrr::VARCHAR, churn_date IS NOT NULL, refused_at
FROM dead_letters LEFT JOIN customers USING (customer_id)
WHERE list_contains($letter_topics, letter_topic) AND state IN ({", ".join(f"'{state}'" for state in WAITING)})
ORDER BY seq
"""


def waiting_letters(db: duckdb.DuckDBPyConnection, sources: Mapping[str, str]) -> list[WaitingLetter]:
    """Return the unsettled dead letters in the order they were written."""
    found = db.execute(_WAITING, {"letter_topics": list(sources)}).fetchall()
    return [WaitingLetter._make((*row[:-1], row[-1].replace(tzinfo=UTC))) for row in found]
