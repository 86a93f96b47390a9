"""Marks in the store: the last row that is published."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from worker.messages.record import TopicPartition
from worker.stores.port import OutboxStore
from worker.stores.thread import StoreThread


class Marks:
    """Writer of marks of published rows while the next ones are being sent, at most every `every_seconds`.

    A mark takes as long as a small batch, and may be late: recovery finds the receipts of published rows.
    """

    def __init__(self, store: OutboxStore, thread: StoreThread, published_seq: int, every_seconds: float) -> None:
        self._store = store
        self._thread = thread
        self._every_seconds = every_seconds
        self._marked_seq = published_seq
        self._marked_at = time.monotonic()
        self._ends: dict[TopicPartition, int] = {}
        self._writing: asyncio.Task[None] | None = None
        self.published_seq = published_seq

    def published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        """Note that the outbox is published up to this row, and the output partitions' ends after that."""
        self.published_seq = last_seq
        self._ends |= ends

    @property
    def is_complete(self) -> bool:
        """Whether every published row is marked, or its mark is being written."""
        return self._marked_seq == self.published_seq

    @property
    def due_in_seconds(self) -> float:
        """The time until the next mark may be written."""
        return self._marked_at + self._every_seconds - time.monotonic()

    async def write(self) -> bool:
        """Start writing the next mark; returns whether an earlier one was completed. Raises its `StoreError`."""
        has_written = await self.finish()
        mark = self._thread.call(self._store.mark_published, self.published_seq, self._ends)
        self._writing = asyncio.create_task(mark)
        self._marked_seq, self._marked_at, self._ends = self.published_seq, time.monotonic(), {}
        return has_written

    async def finish(self) -> bool:
        """Wait for the mark that is being written; returns whether there was one. Raises its `StoreError`."""
        if self._writing is None:
            return False
        await self._writing
        return True
