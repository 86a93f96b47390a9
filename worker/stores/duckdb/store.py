"""The store in one DuckDB file: the embedded default. One process owns the file, one thread uses it.

Checkpoints, which rewrite the whole index, run between batches and seldom.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from typing_extensions import override

from worker.failpoints import reach
from worker.stores.duckdb.commits import DuckDBBatches
from worker.stores.duckdb.file import MEMORY, wrap_errors
from worker.stores.duckdb.outbox import DuckDBOutbox
from worker.stores.duckdb.ownership import DuckDBOwnership
from worker.stores.duckdb.view import DuckDBView
from worker.stores.errors import StoreError
from worker.stores.port import Store
from worker.stores.reading import StoreView

CHECKPOINT_AT_WAL_BYTES = 256 * 1024 * 1024
CHECKPOINT_AT_DECISIONS = 500_000
"""A log of so many signups, of 140 bytes each, takes a second to replay after a crash; cancellations take more room."""


class DuckDBStore(DuckDBBatches, DuckDBOutbox, DuckDBOwnership, Store):
    """The store in one file at `path`, or in memory for `:memory:`."""

    def __init__(self, path: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._views: set[DuckDBView] = set()
        self._closing = threading.Lock()
        super().__init__(path, clock)

    @wrap_errors
    @override
    def prove_writable(self) -> None:
        self._db.execute('UPDATE touched SET "at" = ?', [self._now()])  # a value that stays the same is not written

    @wrap_errors
    @override
    def maintain(self) -> None:
        if not self._is_checkpoint_due():
            return
        reach("before-checkpoint")
        with suppress(duckdb.TransactionException):  # a view needs the old blocks: it is due again soon
            self._db.execute("CHECKPOINT")
            self._logged_decisions = 0
        reach("after-checkpoint")

    def _is_checkpoint_due(self) -> bool:
        wal = Path(f"{self.path}.wal")
        if self.path == MEMORY or not wal.exists():
            return False
        return self._logged_decisions > CHECKPOINT_AT_DECISIONS or wal.stat().st_size > CHECKPOINT_AT_WAL_BYTES

    @override
    def reopen(self) -> None:
        if self.path == MEMORY:
            return  # closing it would lose it
        self.close()
        self._open()

    @wrap_errors
    @override
    def view(self) -> StoreView:
        with self._closing:
            view = DuckDBView(self._db.cursor(), self.path, self._views.discard)
            self._views.add(view)
        return view

    @override
    def close(self) -> None:
        with self._closing:
            for view in list(self._views):
                view.end()  # an open view would keep the database, even an invalidated one
            with suppress(StoreError):  # a late mark is repaired by the receipts
                self.write_mark()
            with suppress(duckdb.Error):  # an invalidated database is closed by letting go of it
                self._db.close()
