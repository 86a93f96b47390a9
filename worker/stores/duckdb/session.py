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

from worker.messages.record import TopicPartition
from worker.stores.changes import RecordCoordinates
from worker.stores.duckdb import rows
from worker.stores.duckdb.batch import BatchTable
from worker.stores.duckdb.file import identity, open_file, wrap_errors
from worker.stores.row_codec import ABANDONED


class DuckDBSession:
    """The database at `path`, or in memory for `:memory:`. One process owns it, one thread uses it.

    Raises `StoreError` if the file is locked by another process, damaged or of a newer version.
    """

    def __init__(self, path: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock = clock
        self._topic_ids: Mapping[TopicPartition, UUID] = {}
        self._open()

    @wrap_errors
    def _open(self) -> None:
        self._db = open_file(self.path)
        self._batch = BatchTable(self._db)
        self._identity = identity(self._db, self.path)
        self._seq: int = self._one("SELECT greatest((SELECT max(seq) FROM outbox), published_seq) FROM relay")
        self._parked_seq = self._one("SELECT coalesce(max(seq), 0) FROM parked")
        self._parked_count = self._one("SELECT count(*) FROM parked")
        self._receipts_count = self._one("SELECT count(*) FROM receipts")
        self._published_seq: int = self._one("SELECT published_seq FROM relay")
        self._logged_decisions = 0
        self._abandoned = set(map(RecordCoordinates._make, self._db.execute(ABANDONED).fetchall()))
        positions = self._db.execute("SELECT topic, partition, next_offset FROM positions").fetchall()
        self._positions = {(topic, partition): offset for topic, partition, offset in positions}

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
