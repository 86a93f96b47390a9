"""Reads of the tables that others may read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from typing_extensions import override

from worker.stores.churn_groups import ChurnGroup, GroupBy, grouped, groups, period
from worker.stores.postgres.connection import Connection, wrap_errors
from worker.stores.postgres.table_stream import open_stream
from worker.stores.public_tables import POSTGRES, PublicTable, TableStream, rows_of, streamed_columns
from worker.stores.reading import StoreView


class PostgresPublicTables(StoreView):
    """The part of a view that reads whole tables."""

    shown: str
    _db: Connection

    @wrap_errors
    @override
    def churn_groups(self, by: GroupBy, since: date | None, until: date | None) -> list[ChurnGroup]:
        query = grouped(by, "%(name)s").encode()
        return groups(self._db.execute(query, period(since, until)).fetchall())

    @override
    def stream(self, table: PublicTable, columns: Sequence[str], as_of: datetime | None = None) -> TableStream:
        query = rows_of(table, columns, POSTGRES, is_past=as_of is not None)
        parameters = None if as_of is None else {"as_of": as_of}
        return open_stream(self._db, self.shown, query, parameters, streamed_columns(table, columns))
