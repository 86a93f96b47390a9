"""Streams of whole tables, in Arrow batches, which Arrow makes of COPY in CSV without an object per row."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import psycopg
import pyarrow as pa
from pyarrow import csv

from worker.stores.postgres.connection import Connection, explain
from worker.stores.public_tables import EVENT, ROWS_AT_ONCE, TableStream

_TYPES: Mapping[str, pa.DataType] = {
    "customer_id": pa.string(),
    "industry": pa.string(),
    "plan_tier": pa.string(),
    "signup_date": pa.date32(),
    "mrr": pa.decimal128(18, 6),
    "churn_date": pa.date32(),
    "at": pa.timestamp("us"),
    "topic": pa.string(),
    "partition": pa.int32(),
    "offset": pa.int64(),
    "outcome": pa.string(),
    "reason": pa.string(),
    "event_id": pa.string(),
    EVENT: pa.string(),
}


def open_stream(
    db: Connection, shown: str, query: str, parameters: Mapping[str, Any] | None, columns: list[str]
) -> TableStream:
    """Return a stream of a query's rows. The query runs when the first batch is read."""
    schema = pa.schema([(name, _TYPES[name]) for name in columns])
    return TableStream(schema, _batches(db, shown, f"COPY ({query}) TO STDOUT (FORMAT csv)", parameters, schema))


def _batches(
    db: Connection, shown: str, query: str, parameters: Mapping[str, Any] | None, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    read = csv.ReadOptions(column_names=schema.names, use_threads=False, block_size=2**30)
    parse = csv.ParseOptions(newlines_in_values=True)
    # NULL is an empty cell, an empty text has quotes.
    convert = csv.ConvertOptions(
        column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    try:
        with db.cursor() as cursor, cursor.copy(query.encode(), parameters) as copying:
            rows = iter(copying)  # one row at a time, as the server sends them
            while part := b"".join(islice(rows, ROWS_AT_ONCE)):
                yield from csv.read_csv(io.BytesIO(part), read, parse, convert).to_batches()
    except psycopg.Error as error:
        raise explain(error, shown) from error
