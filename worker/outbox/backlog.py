"""The backlog: rows of the outbox that are yet to be published."""

from __future__ import annotations

from collections import deque

from worker.stores.changes import Committed, PendingBatch
from worker.stores.port import OutboxStore
from worker.stores.thread import StoreThread

MESSAGES_A_TRANSACTION = 20_000
BATCHES_KEPT = 4
"""Committed batches in memory, each of bounded size; the others are read from the store."""


class Backlog:
    """The rows to be published next, in order: as batches committed them, else as read from the store."""

    def __init__(self, store: OutboxStore, thread: StoreThread) -> None:
        self._store = store
        self._thread = thread
        self._batches: deque[PendingBatch] = deque()
        self._settled_seq = 0
        self._known_seq = 0
        self._is_doubtful = False

    def add(self, committed: Committed) -> bool:
        """Keep the messages of a commit; returns whether there may be something to publish.

        Rows without numbers are read from the store once they have them.
        """
        if not committed.rows:
            return bool(committed.messages)
        batch = PendingBatch(committed.rows[0] - 1, committed.messages, committed.rows[-1])
        self._known_seq = max(self._known_seq, batch.last_seq)
        if batch.after_seq >= self._settled_seq:  # for earlier rows receipts may have been found since
            self._batches.append(batch)
        if len(self._batches) > BATCHES_KEPT:
            self._batches.popleft()
        return True

    def look_again(self) -> None:
        """Make `after` read rows that were not added here, as after a commit with an unknown outcome."""
        self._is_doubtful = True

    async def settle(self) -> None:
        """Forget the batches up to the last row in the store: receipts may have been found for them.

        Those that are committed after it are kept, in whichever order they are added.
        """
        self._settled_seq = last_seq = await self._last_seq()
        self._known_seq = max(self._known_seq, last_seq)
        self._batches = deque(batch for batch in self._batches if batch.after_seq >= last_seq)

    async def after(self, seq: int) -> PendingBatch:
        """Return the rows to be published after this one; none (`last_seq` is `seq`) at the end of the outbox."""
        if self._is_doubtful:
            self._is_doubtful = False
            self._known_seq = max(self._known_seq, await self._last_seq())
        while self._batches and self._batches[0].after_seq < seq:
            self._batches.popleft()
        if self._batches and self._batches[0].after_seq == seq:
            return self._batches.popleft()
        if seq == self._known_seq:
            return PendingBatch(seq, [], seq)
        return await self._thread.call(self._store.pending, seq, MESSAGES_A_TRANSACTION)

    async def has_grown(self) -> bool:
        """Return whether the store has rows that were not known here: other workers have committed them."""
        return await self._last_seq() > self._known_seq

    async def _last_seq(self) -> int:
        return await self._thread.call(lambda: self._store.last_seq)
