"""Who churned by the customers, and by the events in the outbox: added up by day, and one by one where they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import duckdb

from worker.churns import Churn, ChurnDay, ChurnPair, Mark, Sum, added_up

_CHURNS = """
WITH churned AS (
    SELECT
        customer_id, churn_date::VARCHAR AS day,
        round(mrr::DECIMAL(38, 6) * 12, 2)::VARCHAR AS arr -- the column's own type does not hold the largest
    FROM customers WHERE churn_date IS NOT NULL
), events AS (
    -- `worker.messages` alone writes them; inside a text, a quotation mark has a backslash before it.
    SELECT
        customer_id, seq, seq <= $published_seq OR receipted AS is_published,
        regexp_extract(decode(value), '"churn_date":"([0-9-]+)"', 1) AS day,
        regexp_extract(decode(value), '"lost_arr":\\{"amount":"([0-9.]+)"', 1) AS arr
    FROM outbox WHERE topic = $topic
)
"""
_BY_DAY = f"""
{_CHURNS}, added AS (
    SELECT 'customers' AS kind, * EXCLUDE customer_id, customer_id::VARCHAR || '|' || day || '|' || arr AS said
    FROM churned
    UNION ALL
    SELECT if(is_published, 'published', 'pending'), day, arr, customer_id::VARCHAR || '|' || day || '|' || arr
    FROM events
)
SELECT
    day, kind, count(*), sum(arr::DECIMAL(38, 2))::VARCHAR, sum(md5_number_lower(said))::VARCHAR
FROM added WHERE day BETWEEN $since AND $until
GROUP BY day, kind ORDER BY day
"""
_PENDING = f"""
{_CHURNS}
SELECT customer_id::VARCHAR, day, arr FROM events WHERE NOT is_published ORDER BY seq LIMIT $at_most
"""
_PAIRS = f"""
{_CHURNS}
SELECT
    coalesce(churned.customer_id, events.customer_id)::VARCHAR, churned.day, churned.arr, events.day, events.arr,
    coalesce(is_published, false)
FROM churned FULL JOIN events ON churned.customer_id = events.customer_id
WHERE list_contains($days, churned.day) OR list_contains($days, events.day)
ORDER BY 1
"""


def published_up_to(db: duckdb.DuckDBPyConnection, topic: str) -> Mark:
    """How far the outbox is published, and this output topic with it."""
    [(published_seq,)] = db.execute("SELECT published_seq FROM relay").fetchall()
    ends = db.execute("SELECT partition::VARCHAR, end_offset FROM output_ends WHERE topic = ?", [topic]).fetchall()
    return Mark(published_seq, dict(ends))


def churn_days(
    db: duckdb.DuckDBPyConnection, topic: str, published_seq: int, since: date, until: date
) -> list[ChurnDay]:
    """Each day on which somebody left, of those from `since` to `until`; rows up to `published_seq` are published."""
    parameters = {
        "topic": topic,
        "published_seq": published_seq,
        "since": since.isoformat(),
        "until": until.isoformat(),
    }
    days: dict[str, dict[str, Sum]] = defaultdict(dict)
    for day, kind, count, arr, fingerprints in db.execute(_BY_DAY, parameters).fetchall():
        days[day][kind] = added_up(count, Decimal(arr), int(fingerprints))
    return [ChurnDay(date.fromisoformat(day), **sums) for day, sums in days.items()]


def pending_churns(db: duckdb.DuckDBPyConnection, topic: str, published_seq: int, at_most: int) -> list[Churn]:
    """The first events after `published_seq` that may not be on their topic, in order."""
    parameters = {"topic": topic, "published_seq": published_seq, "at_most": at_most}
    return [_churn(*row) for row in db.execute(_PENDING, parameters).fetchall()]


def churn_pairs(db: duckdb.DuckDBPyConnection, topic: str, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
    """Every customer who left on one of these days by either account."""
    parameters = {"topic": topic, "published_seq": published_seq, "days": [day.isoformat() for day in days]}
    return [
        ChurnPair(
            customer_id,
            None if day is None else _churn(customer_id, day, arr),
            None if event_day is None else _churn(customer_id, event_day, event_arr),
            is_published,
        )
        for customer_id, day, arr, event_day, event_arr, is_published in db.execute(_PAIRS, parameters).fetchall()
    ]


def _churn(customer_id: str, day: str, arr: str) -> Churn:
    return Churn(customer_id, date.fromisoformat(day), Decimal(arr))
