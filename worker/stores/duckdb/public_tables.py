"""Reads of the tables that others may read."""

from __future__ import annotations

from datetime import date

import duckdb
from typing_extensions import override

from worker.stores.churn_groups import ChurnGroup, GroupBy, grouped, groups, period
from worker.stores.duckdb.file import wrap_errors
from worker.stores.reading import StoreView


class DuckDBPublicTables(StoreView):
    """The part of a view that reads whole tables."""

    path: str
    _db: duckdb.DuckDBPyConnection

    @wrap_errors
    @override
    def churn_groups(self, by: GroupBy, since: date | None, until: date | None) -> list[ChurnGroup]:
        return groups(self._db.execute(grouped(by, "$name"), period(since, until)).fetchall())
