"""The table from which statements read a batch's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from worker.stores.duckdb import rows


class Join(Protocol):
    """A function that runs a statement that reads the table `batch`, made of these columns."""

    def __call__(
        self, query: str, columns: rows.Columns, parameters: Sequence[Any] = (), /
    ) -> duckdb.DuckDBPyConnection:
        """Return the connection with the statement's result."""


class BatchTable:
    """The table `batch` of a connection, registered once: that takes as long as a small insert."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._table = pa.table(dict(rows.ids([])))
        db.register("batch", self)

    def hold(self, columns: rows.Columns) -> None:
        """Replace the columns."""
        self._table = pa.table(dict(columns))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the rows by the Arrow PyCapsule interface; DuckDB calls it for each statement."""
        return self._table.__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]
