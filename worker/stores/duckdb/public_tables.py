"""Reads of the tables that others may read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import duckdb
from typing_extensions import override

from worker.stores.churn_groups import ChurnGroup, GroupBy, grouped, groups, period
from worker.stores.duckdb.file import wrap_errors
from worker.stores.public_tables import DUCKDB, PublicTable, TableStream, rows_of
from worker.stores.reading import StoreView


class DuckDBPublicTables(StoreView):
    """The part of a view that reads whole tables."""

    path: str
    _db: duckdb.DuckDBPyConnection

    @wrap_errors
    @override
    def churn_groups(self, by: GroupBy, since: date | None, until: date | None) -> list[ChurnGroup]:
        return groups(self._db.execute(grouped(by, "$name"), period(since, until)).fetchall())

    @wrap_errors
    @override
    def stream(self, table: PublicTable, columns: Sequence[str], as_of: datetime | None = None) -> TableStream:
        from worker.stores.duckdb.table_stream import open_stream  # noqa: PLC0415 - loads Arrow, for few commands

        query = rows_of(table, columns, DUCKDB, is_past=as_of is not None)
        parameters = {} if as_of is None else {"as_of": as_of.astimezone(UTC).replace(tzinfo=None)}
        return open_stream(self._db, self.path, query, parameters)
