"""Reads of the tables that others may read."""

from __future__ import annotations

from datetime import date

from typing_extensions import override

from worker.stores.churn_groups import ChurnGroup, GroupBy, grouped, groups, period
from worker.stores.postgres.connection import Connection, wrap_errors
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
