"""Streams of whole tables, in Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from worker.stores.duckdb.file import explain
from worker.stores.errors import StoreError
from worker.stores.public_tables import ROWS_AT_ONCE, TableStream


def open_stream(db: duckdb.DuckDBPyConnection, path: str, query: str, parameters: Mapping[str, Any]) -> TableStream:
    """Begin a query, whose rows are computed as they are read. Raises the driver's errors."""
    # `execute` would compute all rows first, and keep them.
    reader = db.sql(query, params=dict(parameters)).to_arrow_reader(ROWS_AT_ONCE)
    return TableStream(reader.schema, _batches(reader, path))


def _batches(reader: pa.RecordBatchReader, path: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except duckdb.Error as error:
        raise explain(error, path) from error
    except (pa.ArrowException, OSError) as error:  # the driver's error as text, which may quote values
        raise StoreError(f"the store {path} failed while a table was read, or the query was interrupted") from error
