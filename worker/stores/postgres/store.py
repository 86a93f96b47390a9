"""The store in PostgreSQL: any number of workers, each taking batches of the partitions it has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import psycopg
from typing_extensions import override

from worker.stores.errors import StoreError
from worker.stores.migrations import newest_version
from worker.stores.port import Store
from worker.stores.postgres.commits import PostgresBatches
from worker.stores.postgres.connection import connect, explain, migrate, require_store
from worker.stores.postgres.outbox import PostgresOutbox
from worker.stores.postgres.ownership import PostgresOwnership
from worker.stores.postgres.view import PostgresView
from worker.stores.reading import StoreView


def migrate_store(url: str, shown: str) -> tuple[int, int]:
    """Migrate the tables at `url` to this worker's version; returns the versions. Raises `StoreError`."""
    try:
        with closing(connect(url)) as db:
            before, after = migrate(db)
            require_store(db, shown, newest_version("postgres"))
            return before, after
    except psycopg.Error as error:
        raise explain(error, shown) from error


class PostgresStore(PostgresBatches, PostgresOutbox, PostgresOwnership, Store):
    """The store in the database at `url`; `shown` is the address without its password."""

    def __init__(
        self,
        url: str,
        shown: str,
        lock_kind: str = "advisory",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._views: set[PostgresView] = set()
        self._closing = threading.Lock()
        super().__init__(url, shown, lock_kind, clock)

    @override
    def prove_writable(self) -> None:
        self._touch()

    @override
    def maintain(self) -> None:
        pass  # autovacuum does it

    @override
    def reopen(self) -> None:
        self._close()  # the leadership has a separate connection, which the next `lead` closes
        self._open()

    @override
    def view(self) -> StoreView:
        with self._closing:
            if self._db.closed:
                raise StoreError(f"the store {self.shown} is closed")
            view = PostgresView(self._primary.address, self.shown, self._views.discard)
            self._views.add(view)
        return view

    @override
    def close(self) -> None:
        self._close()
        self._led = None
        self._locks.close()

    def _close(self) -> None:
        with self._closing:
            for view in list(self._views):
                view.end()
            self._db.close()
