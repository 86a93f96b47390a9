"""Rows between Python and PostgreSQL: changes of a batch as rows for COPY, and rows decoded to their types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.customer import Customer
from worker.messages.log_identity import RecordMark
from worker.messages.outgoing import Outgoing
from worker.messages.record import TopicPartition
from worker.stores.changes import JournalRow, ParkedRecord, RecordCoordinates
from worker.stores.postgres.connection import Connection
from worker.stores.row_codec import customer_values, encode_headers

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


def uuids(ids: Iterable[str]) -> str:
    """Format UUIDs as an array literal for `%s::uuid[]`: the driver would search each element of a list for quotes."""
    return f"{{{','.join(ids)}}}"


def dates(days: Iterable[date | None]) -> str:
    """Format dates as an array literal for `%s::date[]`."""
    return f"{{{','.join('NULL' if day is None else day.isoformat() for day in days)}}}"


def copy(db: Connection, into: str, rows: Rows) -> None:
    """Add rows to a table; `into` names it and its columns."""
    with db.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN".encode()) as copying:
        for row in rows:
            copying.write_row(row)


def copy_binary(db: Connection, into: str, types: Sequence[str], rows: Rows) -> None:
    """Add rows in binary format, without conversion to text and back. `types` has the type of each column."""
    with db.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN (FORMAT binary)".encode()) as copying:
        copying.set_types(types)
        for row in rows:
            copying.write_row(row)


def coordinates(of: Collection[RecordCoordinates]) -> dict[str, list[Any]]:
    """Return coordinates as three arrays: `topics`, `partitions`, `offsets`."""
    return {
        "topics": [topic for topic, _, _ in of],
        "partitions": [partition for _, partition, _ in of],
        "offsets": [offset for _, _, offset in of],
    }


def positions(
    of: Mapping[TopicPartition, int],
    last_records: Mapping[TopicPartition, RecordMark],
    topic_ids: Mapping[TopicPartition, UUID],
) -> list[list[Any]]:
    """Return arrays of topic, partition, next offset, topic id, and offset and fingerprint of the last record."""
    marks = [last_records.get(place) for place in of]
    return [
        [topic for topic, _ in of],
        [partition for _, partition in of],
        list(of.values()),
        [topic_ids.get(place) for place in of],
        [mark and mark.offset for mark in marks],
        [mark and mark.fingerprint for mark in marks],
    ]


_SOURCE = "source_topic, source_partition, source_offset, decided_at"
_SOURCE_TYPES = ("text", "int4", "int8", "int8")
_NO_SOURCE = (None, None, None)
CUSTOMERS = f"customers (customer_id, industry, plan_tier, signup_date, mrr, churn_date, {_SOURCE})"
CUSTOMERS_TYPES = ("bytea", "text", "text", "int4", "numeric", "int4", *_SOURCE_TYPES)


def new_customers(customers: Iterable[Customer], signups: Mapping[str, tuple[str, int, int]], now: datetime) -> Rows:
    """Return rows of `CUSTOMERS` in the order of their ids: concurrent inserts of the same ones do not deadlock."""
    at = _microseconds(now)
    for customer_id, industry, plan_tier, signup_date, mrr, churn_date in sorted(map(customer_values, customers)):
        churned = None if churn_date is None else churn_date.toordinal() - _FIRST_DAY
        signed_up = signup_date.toordinal() - _FIRST_DAY
        topic, partition, offset = signups.get(customer_id, _NO_SOURCE)
        yield (
            _uuid(customer_id), industry.value, plan_tier.value, signed_up, mrr, churned,
            topic, partition, offset, at,
        )  # fmt: skip


def parked(waiting: Iterable[ParkedRecord], now: datetime) -> Rows:
    """Return rows of `parked` in the order of their arrival."""
    for customer_id, r in waiting:
        headers = encode_headers(r.headers)
        yield customer_id, r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, headers, now


DECISIONS = 'decisions ("at", topic, partition, "offset", customer_id, outcome, reason)'
DECISIONS_TYPES = ("int8", "text", "int4", "int8", "bytea", "text", "text")


def decisions(rows: Iterable[JournalRow], now: datetime) -> Rows:
    """Return rows of `DECISIONS`."""
    at = _microseconds(now)
    for r in rows:
        yield at, r.topic, r.partition, r.offset, _uuid(r.customer_id), r.outcome, r.reason


OUTBOX = (
    "outbox (commit_id, place, id, topic, partition, key, value, headers, customer_id, receipted, timestamp_ms,"
    f" {_SOURCE})"
)
OUTBOX_TYPES = (
    "int8", "int4", "text", "text", "int4", "bytea", "bytea", "bytea", "bytea", "bool", "int8", *_SOURCE_TYPES
)  # fmt: skip


def outbox(commit_id: int, messages: Iterable[Outgoing], receipted: Collection[str], now: datetime) -> Rows:
    """Return rows of `OUTBOX`; those with an id in `receipted` are published."""
    at = _microseconds(now)
    for place, m in enumerate(messages, 1):
        headers = m.encoded_headers or encode_headers(m.headers)
        is_out, about = m.id in receipted, _uuid(m.customer_id)
        topic, partition, offset = m.cause or _NO_SOURCE
        yield (
            commit_id, place, m.id, m.topic, m.partition, m.key, m.value, headers, about, is_out, m.timestamp,
            topic, partition, offset, at,
        )  # fmt: skip


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's
_FIRST_DAY = _EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _uuid(text: str | None) -> bytes | None:
    try:
        return None if text is None else bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return b""  # the database refuses it, like any value that is no UUID
