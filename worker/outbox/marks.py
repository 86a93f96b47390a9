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

    A mark may be late: recovery finds the receipts of published rows. The store may write it with its next commit; the
    last one is written by itself, once nothing was committed for `every_seconds`.
    """

    def __init__(self, store: OutboxStore, thread: StoreThread, published_seq: int, every_seconds: float) -> None:
        self._store = store
        self._thread = thread
        self._every_seconds = every_seconds
        self._marked_at = time.monotonic()
        self._ends: dict[TopicPartition, int] = {}
        self._writing: asyncio.Task[None] | None = None
        self.published_seq = published_seq
        self.is_complete = True
        """Whether the mark of the last published row is written, or being written."""

    def published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        """Note that the outbox is published up to this row, and the output partitions' ends after that."""
        self.published_seq = last_seq
        self._ends |= ends
        self.is_complete = False

    @property
    def due_in_seconds(self) -> float:
        """The time until the next mark may be written."""
        return self._marked_at + self._every_seconds - time.monotonic()

    async def write(self, *, at_once: bool) -> bool:
        """Start writing the next mark; returns whether an earlier one was completed. Raises its `StoreError`.

        Unless it is written `at_once`, the store may write it with its next commit.
        """
        has_written = await self.finish()
        mark = self._thread.call(self._mark, self.published_seq, self._ends, at_once=at_once)
        self._writing = asyncio.create_task(mark)
        self._marked_at, self._ends, self.is_complete = time.monotonic(), {}, at_once
        return has_written

    def _mark(self, last_seq: int, ends: Mapping[TopicPartition, int], *, at_once: bool) -> None:
        self._store.mark_published(last_seq, ends)
        if at_once:
            self._store.write_mark()

    async def finish(self) -> bool:
        """Wait for the mark that is being written; returns whether there was one. Raises its `StoreError`."""
        if self._writing is None:
            return False
        await self._writing
        return True
