"""Rows between Python and DuckDB: changes of a batch as Arrow columns, and rows decoded to their types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

import pyarrow as pa

from domain.customer import Customer
from worker.messages.outgoing import Outgoing
from worker.stores.changes import JournalRow, ParkedRecord, RecordCoordinates, Redrive
from worker.stores.duckdb.uuid_fast_path import uuids
from worker.stores.row_codec import customer_values, encode_headers

Columns = dict[str, "pa.Array[Any]"]
Source = tuple[str, int, int]
"""Topic, partition and offset of a record."""
_NO_SOURCE = (None, None, None)


def ids(values: Collection[str]) -> Columns:
    """Return one column of ids."""
    return {"id": pa.array(list(values), pa.string())}


def customer_ids(values: Collection[str]) -> Columns:
    """Return one column of customer ids."""
    return {"id": uuids(list(values))}


def new_customers(customers: Mapping[str, Customer], signups: Mapping[str, Source]) -> Columns:
    """Return the columns of `customers`, with the coordinates of their signups."""
    values = zip(*map(customer_values, customers.values()), strict=True)
    ids, industries, plan_tiers, signup_dates, mrr, churn_dates = values
    return _sources(map(signups.get, customers, repeat(_NO_SOURCE))) | {
        "id": uuids(ids),
        "industry": pa.array(industries, pa.string()),
        "plan_tier": pa.array(plan_tiers, pa.string()),
        "signup_date": pa.array(signup_dates, pa.date32()),
        "mrr": pa.array(mrr, pa.decimal128(18, 6)),
        "churn_date": pa.array(churn_dates, pa.date32()),
    }


def _sources(of: Iterable[Source | tuple[None, None, None]]) -> Columns:
    """Return the coordinates of records."""
    topics, partitions, offsets = zip(*of, strict=True)
    return {
        "source_topic": pa.array(topics, pa.string()),
        "source_partition": pa.array(partitions, pa.int32()),
        "source_offset": pa.array(offsets, pa.int64()),
    }


def churned_customers(customers: Mapping[str, Customer]) -> Columns:
    """Return the columns that can change for a stored customer: churning is the only change."""
    return {
        "id": uuids(list(customers)),
        "churn_date": pa.array([c.churn_date for c in customers.values()], pa.date32()),
    }


def parked(waiting: Collection[ParkedRecord], after_seq: int, now: datetime) -> Columns:
    """Return the columns of `parked`; rows are numbered after `after_seq`."""
    records = [each.record for each in waiting]
    return {
        "seq": pa.array(range(after_seq + 1, after_seq + len(records) + 1)),
        "customer_id": pa.array([each.customer_id for each in waiting]),
        "topic": pa.array([r.topic for r in records]),
        "partition": pa.array([r.partition for r in records], pa.int32()),
        "place": pa.array([r.offset for r in records]),
        "timestamp_ms": pa.array([r.timestamp for r in records]),
        "key": pa.array([r.key for r in records], pa.binary()),
        "value": pa.array([r.value for r in records], pa.binary()),
        "headers": pa.array([encode_headers(r.headers) for r in records]),
        "parked_at": pa.repeat(pa.scalar(now), len(records)),
    }


def coordinates(released: Sequence[RecordCoordinates]) -> Columns:
    """Coordinates."""
    topics, partitions, offsets = zip(*released, strict=True)
    return {"topic": pa.array(topics), "partition": pa.array(partitions, pa.int32()), "place": pa.array(offsets)}


def journal(rows: Sequence[JournalRow]) -> Columns:
    """Return the columns of `decisions`."""
    return {
        "topic": pa.array([row.topic for row in rows]),
        "partition": pa.array([row.partition for row in rows], pa.int32()),
        "place": pa.array([row.offset for row in rows]),
        "customer_id": uuids([row.customer_id for row in rows]),
        "outcome": pa.array([row.outcome for row in rows]),
        "reason": pa.array([row.reason for row in rows], pa.string()),
    }


def outbox(messages: Sequence[Outgoing], after_seq: int, receipted: Collection[str]) -> Columns:
    """Return the columns of `outbox`; rows are numbered after `after_seq`, those in `receipted` are published."""
    return _sources([m.cause or _NO_SOURCE for m in messages]) | {
        "seq": pa.array(range(after_seq + 1, after_seq + len(messages) + 1)),
        "id": pa.array([m.id for m in messages]),
        "topic": pa.array([m.topic for m in messages]),
        "partition": pa.array([m.partition for m in messages], pa.int32()),
        "key": pa.array([m.key for m in messages], pa.binary()),
        "value": pa.array([m.value for m in messages], pa.binary()),
        "headers": pa.array([m.encoded_headers or encode_headers(m.headers) for m in messages]),
        "customer_id": uuids([m.customer_id for m in messages]),
        "receipted": pa.array([m.id in receipted for m in messages]),
        "timestamp_ms": pa.array([m.timestamp for m in messages]),
    }


def redrives(found: Sequence[Redrive]) -> Columns:
    """Return the columns of `redrives`."""
    ids, topics, partitions, offsets, digests = zip(*found, strict=True)
    return {
        "id": pa.array(ids),
        "topic": pa.array(topics),
        "partition": pa.array(partitions, pa.int32()),
        "place": pa.array(offsets),
        "digest": pa.array(digests),
    }
