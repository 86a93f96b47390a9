"""Rows between Python and PostgreSQL: a batch's changes as rows to be copied, what is read back as what it means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from domain.customer import Customer
from worker.outgoing import Outgoing
from worker.store import JournalRow, ParkedRecord, Place
from worker.stores.common_rows import decode_headers, encode_headers
from worker.stores.postgres_connection import Connection

Rows = Iterable[Sequence[Any]]

CUSTOMER_COLUMNS = "customer_id::text, industry, plan_tier, signup_date, mrr::text, churn_date"
PARKED_COLUMNS = 'customer_id::text, topic, partition, "offset", timestamp_ms, key, value, headers'
OUTGOING_COLUMNS = "id, topic, partition, key, value, headers, customer_id::text, timestamp_ms"

PLACES_BITS = 24
ROW_NUMBER = f"((commit_id << {PLACES_BITS}) + place)"
"""One number for a row of the outbox, which it has from the start; `WITH_ROW_NUMBERS` finds rows by it."""
WITH_ROW_NUMBERS = f"""(commit_id, place) IN (
    SELECT (number - 1) >> {PLACES_BITS}, ((number - 1) & {2**PLACES_BITS - 1})::int + 1
    FROM unnest(%(numbers)s::bigint[]) AS wanted (number)
)"""


def copy(db: Connection, into: str, rows: Rows) -> None:
    """Add rows to a table; `into` names it and its columns."""
    with db.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN".encode()) as copying:
        for row in rows:
            copying.write_row(row)


def places(of: Collection[Place]) -> dict[str, list[Any]]:
    """Coordinates as three arrays: `topics`, `partitions`, `offsets`."""
    return {
        "topics": [topic for topic, _, _ in of],
        "partitions": [partition for _, partition, _ in of],
        "offsets": [offset for _, _, offset in of],
    }


def new_customers(customers: Iterable[Customer]) -> Rows:
    """Every column of `customers`, by id: two workers that add the same ones wait for each other."""
    for c in sorted(customers, key=lambda customer: customer.customer_id):
        yield c.customer_id, c.industry.value, c.plan_tier.value, c.signup_date, c.mrr.amount, c.churn_date


def parked(waiting: Iterable[ParkedRecord], now: datetime) -> Rows:
    """The columns of `parked`, in the order they came."""
    for customer_id, r in waiting:
        headers = encode_headers(r.headers)
        yield customer_id, r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, headers, now


def journal(rows: Iterable[JournalRow], now: datetime) -> Rows:
    """The columns of `journal`."""
    return ((now, *row) for row in rows)


def outbox(commit_id: int, messages: Iterable[Outgoing], receipted: Collection[str]) -> Rows:
    """The columns of `outbox`; those whose id is in `receipted` are out already."""
    for place, m in enumerate(messages, 1):
        headers = encode_headers(m.headers)
        is_out = m.id in receipted
        yield commit_id, place, m.id, m.topic, m.partition, m.key, m.value, headers, m.customer_id, is_out, m.timestamp


def outgoing(found: Iterable[Sequence[Any]]) -> Iterator[Outgoing]:
    """The messages of rows of `OUTGOING_COLUMNS`."""
    for message_id, topic, partition, key, value, headers, customer_id, timestamp in found:
        yield Outgoing(message_id, topic, partition, key, value, decode_headers(headers), customer_id, timestamp)
