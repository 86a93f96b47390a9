"""Churned customers and churn events in the outbox: summed by day, and one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import duckdb

from worker.stores.churns import Churn, ChurnDay, ChurnPair, PendingChurn, PublishedPosition, Sum

_PARTS = "'$.customer_id', '$.churn_date', '$.lost_arr.amount', '$.lost_arr.currency'"
_FINGERPRINT = "(sum(hash(customer_id, arr)) % 9223372036854775808)::BIGINT"
SUM = f"count(*), sum(arr)::VARCHAR, {_FINGERPRINT}"


def events_of(source: str) -> str:
    """Return a query that decodes the `value` of each row of `source`; `is_event` is true for a valid event.

    Casts accept several spellings of a value; comparing the result, cast back, with the text finds other spellings.
    """
    return f"""
        SELECT
            * EXCLUDE (value, parts),
            TRY_CAST(parts[1] AS UUID) AS customer_id,
            TRY_CAST(parts[2] AS DATE) AS day,
            TRY_CAST(parts[3] AS DECIMAL(38, 2)) AS arr,
            coalesce(
                customer_id::VARCHAR = parts[1] AND day::VARCHAR = parts[2] AND arr::VARCHAR = parts[3]
                AND parts[4] = 'USD' AND day BETWEEN DATE '0001-01-01' AND DATE '9999-12-31',
                false
            ) AS is_event
        FROM (SELECT *, TRY(json_extract_string(decode(value), [{_PARTS}])) AS parts FROM {source})
    """


_OUTBOX = "(SELECT seq, seq <= $published_seq OR receipted AS is_published, value FROM outbox WHERE topic = $topic)"
_CHURNS = f"""
WITH churned AS (
    SELECT customer_id, churn_date AS day, arr FROM customer_arr WHERE churn_date IS NOT NULL
), decoded AS MATERIALIZED ({events_of(_OUTBOX)}), events AS (SELECT * FROM decoded WHERE is_event)
"""
_BY_DAY = f"""
{_CHURNS}, added AS (
    SELECT 'customers' AS kind, customer_id, day, arr FROM churned
    UNION ALL
    SELECT if(is_published, 'published', 'pending'), customer_id, day, arr FROM events
)
SELECT day, kind, {SUM} FROM added WHERE day BETWEEN $since AND $until GROUP BY day, kind ORDER BY day
"""
_PENDING = f"""
{_CHURNS}
SELECT customer_id::VARCHAR, day, {SUM} FROM events WHERE NOT is_published
GROUP BY seq, customer_id, day ORDER BY seq LIMIT $at_most
"""
_PAIRS = f"""
{_CHURNS}
SELECT
    coalesce(churned.customer_id, events.customer_id)::VARCHAR, churned.day, churned.arr::VARCHAR,
    events.day, events.arr::VARCHAR, coalesce(is_published, false)
FROM churned FULL JOIN events ON churned.customer_id = events.customer_id
WHERE list_contains($days, churned.day) OR list_contains($days, events.day)
ORDER BY 1
"""


def published_up_to(db: duckdb.DuckDBPyConnection, topic: str) -> PublishedPosition:
    """Return the published position of the outbox and of this output topic."""
    [(published_seq,)] = db.execute("SELECT published_seq FROM relay").fetchall()
    ends = db.execute("SELECT partition::VARCHAR, end_offset FROM output_ends WHERE topic = ?", [topic]).fetchall()
    return PublishedPosition(published_seq, dict(ends), FINGERPRINTED_BY)


def churn_days(
    db: duckdb.DuckDBPyConnection, topic: str, published_seq: int, since: date, until: date
) -> list[ChurnDay]:
    """Return each day with churns from `since` to `until`; rows up to `published_seq` count as published."""
    parameters = {"topic": topic, "published_seq": published_seq, "since": since, "until": until}
    days: dict[date, dict[str, Sum]] = defaultdict(dict)
    for day, kind, *added in db.execute(_BY_DAY, parameters).fetchall():
        days[day][kind] = sum_of(*added)
    return [ChurnDay(day, **sums) for day, sums in days.items()]


def pending_churns(db: duckdb.DuckDBPyConnection, topic: str, published_seq: int, at_most: int) -> list[PendingChurn]:
    """Return the first events after `published_seq` that may not be on their topic, in order."""
    parameters = {"topic": topic, "published_seq": published_seq, "at_most": at_most}
    found = db.execute(_PENDING, parameters).fetchall()
    return [PendingChurn(customer_id, day, sum_of(*added)) for customer_id, day, *added in found]


def churn_pairs(db: duckdb.DuckDBPyConnection, topic: str, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
    """Return each customer who churned on one of these days, by the customer or by the event."""
    parameters = {"topic": topic, "published_seq": published_seq, "days": list(days)}
    return [
        ChurnPair(
            customer_id,
            None if day is None else churn_of(customer_id, day, arr),
            None if event_day is None else churn_of(customer_id, event_day, event_arr),
            is_published,
        )
        for customer_id, day, arr, event_day, event_arr, is_published in db.execute(_PAIRS, parameters).fetchall()
    ]


FINGERPRINTED_BY = f"DuckDB {duckdb.__version__}"


def sum_of(count: int, arr: str, fingerprint: int) -> Sum:
    """Decode a row of `SUM`."""
    return Sum(count, Decimal(arr), fingerprint)


def churn_of(customer_id: str, day: date, arr: str) -> Churn:
    """Decode a row of one event."""
    return Churn(customer_id, day, Decimal(arr))
