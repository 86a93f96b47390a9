"""Who churned by the customers, and by the events in the outbox: added up by day, and one by one where they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from worker.churns import Churn, ChurnDay, ChurnPair, Mark, Sum, added_up
from worker.stores.postgres_connection import Connection

_CHURNS = """
WITH churned AS (
    SELECT
        customer_id, churn_date::text AS day,
        round(mrr * 12, 2)::text AS arr
    FROM customers WHERE churn_date IS NOT NULL
), events AS (
    -- `worker.messages` alone writes them; inside a text, a quotation mark has a backslash before it.
    SELECT
        customer_id, row_id, coalesce(seq <= %(published_seq)s, false) OR receipted AS is_published,
        substring(convert_from(value, 'UTF8') FROM '"churn_date":"([0-9-]+)"') AS day,
        substring(convert_from(value, 'UTF8') FROM '"lost_arr":\\{"amount":"([0-9.]+)"') AS arr
    FROM outbox WHERE topic = %(topic)s
)
"""
# The last eight bytes of a digest as a number, lowest byte first, as `worker.churns.fingerprint` has it. It is signed
# here, which makes no difference to what is left of it.
_LOWER_HALF = "('x' || " + " || ".join(f"substr(digest, {at}, 2)" for at in range(31, 15, -2)) + ")::bit(64)::bigint"
_BY_DAY = f"""
{_CHURNS}, added AS (
    SELECT 'customers' AS kind, day, arr, md5(customer_id::text || '|' || day || '|' || arr) AS digest
    FROM churned
    UNION ALL
    SELECT
        CASE WHEN is_published THEN 'published' ELSE 'pending' END, day, arr,
        md5(customer_id::text || '|' || day || '|' || arr)
    FROM events
)
SELECT
    day, kind, count(*), sum(arr::numeric)::text, sum({_LOWER_HALF})::text
FROM added WHERE day BETWEEN %(since)s AND %(until)s
GROUP BY day, kind ORDER BY day
"""
_PENDING = f"""
{_CHURNS}
SELECT customer_id::text, day, arr FROM events WHERE NOT is_published ORDER BY row_id LIMIT %(at_most)s
"""
_PAIRS = f"""
{_CHURNS}
SELECT
    coalesce(churned.customer_id, events.customer_id)::text, churned.day, churned.arr, events.day, events.arr,
    coalesce(is_published, false)
FROM churned FULL JOIN events ON churned.customer_id = events.customer_id
WHERE churned.day = ANY(%(days)s) OR events.day = ANY(%(days)s)
ORDER BY 1
"""


def published_up_to(db: Connection, topic: str) -> Mark:
    """How far the outbox is published, and this output topic with it."""
    [(published_seq,)] = db.execute("SELECT published_seq FROM relay").fetchall()
    ends = db.execute("SELECT partition::text, end_offset FROM output_ends WHERE topic = %s", [topic]).fetchall()
    return Mark(published_seq, dict(ends))


def churn_days(
    db: Connection, topic: str, published_seq: int, since: date, until: date
) -> list[ChurnDay]:
    """Each day on which somebody left, of those from `since` to `until`; rows up to `published_seq` are published."""
    parameters = {
        "topic": topic,
        "published_seq": published_seq,
        "since": since.isoformat(),
        "until": until.isoformat(),
    }
    days: dict[str, dict[str, Sum]] = defaultdict(dict)
    for day, kind, count, arr, fingerprints in db.execute(_BY_DAY.encode(), parameters).fetchall():
        days[day][kind] = added_up(count, Decimal(arr), int(fingerprints))
    return [ChurnDay(date.fromisoformat(day), **sums) for day, sums in days.items()]


def pending_churns(db: Connection, topic: str, published_seq: int, at_most: int) -> list[Churn]:
    """The first events after `published_seq` that may not be on their topic, in order."""
    parameters = {"topic": topic, "published_seq": published_seq, "at_most": at_most}
    return [_churn(*row) for row in db.execute(_PENDING.encode(), parameters).fetchall()]


def churn_pairs(db: Connection, topic: str, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
    """Every customer who left on one of these days by either account."""
    parameters = {"topic": topic, "published_seq": published_seq, "days": [day.isoformat() for day in days]}
    return [
        ChurnPair(
            customer_id,
            None if day is None else _churn(customer_id, day, arr),
            None if event_day is None else _churn(customer_id, event_day, event_arr),
            is_published,
        )
        for customer_id, day, arr, event_day, event_arr, is_published in db.execute(_PAIRS.encode(), parameters).fetchall()
    ]


def _churn(customer_id: str, day: str, arr: str) -> Churn:
    return Churn(customer_id, date.fromisoformat(day), Decimal(arr))
