"""The open PostgreSQL database of one store, and the state kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from worker.messages.record import TopicPartition
from worker.stores.migrations import newest_version
from worker.stores.postgres.claims import Claims
from worker.stores.postgres.connection import (
    Connection,
    migrate,
    require_same_store,
    require_store,
    require_version,
    stored_id,
    stored_version,
    wrap_errors,
)
from worker.stores.postgres.locks import locks
from worker.stores.postgres.primary import Primary

NOBODY = -1
"""The epoch of a store that does not lead."""


class Led(NamedTuple):
    """A leadership: its epoch, and the connection on which it marks rows as published."""

    epoch: int
    db: Connection


class PostgresSession:
    """The database at `url`; `shown` is the address without its password.

    Between batches only the claims are kept. Tables are created in an empty database.
    Raises `StoreError` if it cannot be reached or has another version.
    """

    def __init__(
        self,
        url: str,
        shown: str,
        lock_kind: str = "advisory",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url
        self.shown = shown
        self._clock = clock
        self._version = newest_version("postgres")
        self._id: UUID | None = None
        self._primary = Primary(url)
        self._locks = locks(lock_kind, self._primary.connect, self._require_version)
        self._led: Led | None = None  # None until the first attempt to lead
        self._claims = Claims()
        self._read: Mapping[TopicPartition, int] = {}
        self._topic_ids: Mapping[TopicPartition, UUID] = {}
        self._open()

    @wrap_errors
    def _open(self) -> None:
        self._db = self._primary.connect_to_write()
        try:
            if stored_version(self._db) == 0:
                if self._id is not None:  # tables created now would hide that the workers' store is elsewhere
                    require_same_store(self.shown, None, self._id)
                migrate(self._db, from_nothing_only=True)
            require_store(self._db, self.shown, self._version)
            found = stored_id(self._db)
            require_same_store(self.shown, found, self._id or found)
            self._id = found
            self._touch()  # a standby, or a user without rights, is reported now, not by the first batch
        except BaseException:
            self._db.close()
            raise

    @property
    def _leader_epoch(self) -> int | None:
        """The epoch under which rows are marked as published; None for a store that does not take part in leading.

        A leadership ends with the connection: another one may lead to a copy of the store (a promoted standby) with
        other numbers of rows, and without receipts that were read before.
        """
        if self._led is None:
            return None
        return self._led.epoch if self._led.db is self._db else NOBODY

    def _require_version(self, db: Connection) -> None:
        """Raise `NewerStoreError` if the tables were migrated to a version that this worker does not support.

        Raises `StoreError` if the session or the store is another one. A migration waits for the transaction in which
        this is called.
        """
        require_version(db, self.shown, self._version, self._id)

    @wrap_errors
    def _touch(self) -> None:
        self._db.execute('UPDATE touched SET "at" = %s', [self._clock()])

    @wrap_errors
    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(query.encode(), parameters or None).fetchall()

    def _read_positions(self) -> Mapping[TopicPartition, int]:
        query = "SELECT topic, partition, next_offset FROM positions"
        found = {(topic, partition): offset for topic, partition, offset in self._rows(query)}
        self._read = {partition: offset or 0 for partition, offset in found.items()}
        return {partition: offset for partition, offset in found.items() if offset is not None}
