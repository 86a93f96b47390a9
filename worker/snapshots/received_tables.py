"""Tables of a received snapshot, in Arrow batches with the types of the contract."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, cast

import msgspec
import pyarrow as pa

from worker.messages.churned_event import Churned
from worker.queries.snapshot import TableColumns
from worker.stores.public_tables import EVENT, PublicTable

_TEXT, _DAY = pa.string(), pa.date32()
_DOLLARS_A_MONTH, _DOLLARS_A_YEAR = pa.decimal128(18, 6), pa.decimal128(18, 2)
_TYPES: Mapping[str, pa.DataType] = {
    "customer_id": _TEXT,
    "industry": _TEXT,
    "plan_tier": _TEXT,
    "signup_date": _DAY,
    "mrr": _DOLLARS_A_MONTH,
    "churn_date": _DAY,
    "tenure_days": pa.int32(),
    "is_early_stage": pa.bool_(),
    "lost_arr": _DOLLARS_A_YEAR,
    "reason": _TEXT,
    "at": pa.timestamp("us", "UTC"),
    "topic": _TEXT,
    "partition": pa.int32(),
    "offset": pa.int64(),
    "outcome": _TEXT,
    "event_id": _TEXT,
}


def schema_of(columns: Sequence[str]) -> pa.Schema:
    """Return the schema of these columns of a public table."""
    return pa.schema([(name, _TYPES[name]) for name in columns])


def received(file: IO[bytes], wanted: TableColumns) -> Iterator[pa.RecordBatch]:
    """Yield the batches of the next table in the file, which is positioned behind it at the end."""
    schema = schema_of(wanted.columns)
    with pa.ipc.open_stream(pa.PythonFile(cast("io.IOBase", file), mode="r")) as stream:
        for batch in stream:
            if wanted.table is PublicTable.CHURNED:
                yield _decoded(batch, schema)
            else:
                yield batch.cast(schema)


_decode = msgspec.json.Decoder(Churned).decode
# Amounts are cast from text by Arrow: a Decimal of each would take as long as the rest.
_VALUES: Mapping[str, Callable[[Churned], Any]] = {
    "mrr": lambda event: event.mrr.amount,
    "lost_arr": lambda event: event.lost_arr.amount,
    "industry": lambda event: event.industry.value,
    "plan_tier": lambda event: event.plan_tier.value,
}


def _decoded(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Decode events into the columns of the schema."""
    values: list[Any] = batch.column(EVENT).to_pylist()
    events = [_decode(value) for value in values]
    return pa.RecordBatch.from_arrays([_column(events, field) for field in schema], schema=schema)


def _column(events: Sequence[Churned], field: pa.Field[Any]) -> pa.Array[Any]:
    column: pa.Array[Any]
    if (value := _VALUES.get(field.name)) is None:
        column = pa.array([getattr(event, field.name) for event in events], field.type)
    else:
        column = pa.array([value(event) for event in events], pa.string()).cast(field.type)
    return column
