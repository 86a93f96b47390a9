"""The open DuckDB database, and the state kept in memory between batches.

ON CONFLICT never uses an index: existing rows are looked up, and the others inserted. Each statement reads one Arrow
table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import duckdb

from worker.failpoints import reach
from worker.messages.record import TopicPartition
from worker.stores.changes import RecordCoordinates
from worker.stores.duckdb import rows
from worker.stores.duckdb.batch import BatchTable
from worker.stores.duckdb.file import identity, open_file, wrap_errors
from worker.stores.duckdb.progress import NO_PROGRESS, Progress, read_progress
from worker.stores.row_codec import ABANDONED


class DuckDBSession:
    """The database at `path`, or in memory for `:memory:`. One process owns it, one thread uses it.

    Raises `StoreError` if the file is locked by another process, damaged or of a newer version.
    """

    def __init__(self, path: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock = clock
        self._topic_ids: Mapping[TopicPartition, UUID] = {}
        self._identity = ""
        self._stored = self._progress = NO_PROGRESS
        self._open()

    @wrap_errors
    def _open(self) -> None:
        self._db = open_file(self.path)
        self._batch = BatchTable(self._db)
        self._open_progress()
        self._seq: int = self._one("SELECT greatest((SELECT max(seq) FROM outbox), published_seq) FROM progress")
        self._parked_seq = self._one("SELECT coalesce(max(seq), 0) FROM parked")
        self._parked_count = self._one("SELECT count(*) FROM parked")
        self._receipts_count = self._one("SELECT count(*) FROM receipts")
        self._logged_decisions = 0
        self._abandoned = set(map(RecordCoordinates._make, self._db.execute(ABANDONED).fetchall()))

    def _open_progress(self) -> None:
        """Read the progress. A mark that was not written yet is kept where the same file is reopened."""
        noted, has_mark, before = self._progress, self._has_mark, self._identity
        self._stored = self._progress = read_progress(self._db)
        self._identity = identity(self._db, self.path)
        if has_mark and self._identity == before:
            self._progress = self._stored.marked(noted.published_seq, noted.ends)

    @property
    def _has_mark(self) -> bool:
        """Whether a mark of published rows is not written yet."""
        noted, stored = self._progress, self._stored
        return noted.published_seq != stored.published_seq or noted.ends is not stored.ends

    def _write_progress(self, progress: Progress) -> None:
        """Write what differs from the stored progress, in the transaction of the caller."""
        if columns := progress.columns(self._stored):
            assigned = ", ".join(f"{name} = ?" for name in columns)
            self._db.execute(f"UPDATE progress SET {assigned}", list(columns.values()))

    @contextmanager
    def _saving(self, progress: Progress) -> Iterator[None]:
        """Commit the progress in one transaction with what is written in the block, and a mark not written yet."""
        has_mark = self._has_mark
        with self._transaction():
            yield
            self._write_progress(progress)
            if has_mark:
                reach("before-mark")
        if has_mark:
            reach("after-mark")
        self._stored = self._progress = progress

    def _now(self) -> datetime:
        return self._clock().replace(tzinfo=None)

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchall()[0][0]

    def _join(self, query: str, columns: rows.Columns, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run a statement that reads the table `batch`, made of these columns."""
        self._batch.hold(columns)
        return self._db.execute(query, parameters)

    @wrap_errors
    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._db.execute(query).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Make all that is written in the block durable, or nothing."""
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # a COMMIT that failed has ended the transaction already
                self._db.execute("ROLLBACK")
            raise
