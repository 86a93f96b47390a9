"""Prefetch: while a poll is applied, the next is fetched and decoded, and small polls are merged into one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from worker.consumer.assignment import Assignment
from worker.processing.batch import Messages

SMALL_POLL = 1_000
GATHER_SECONDS = 0.005

Apply = Callable[[Messages, int], Awaitable[None]]
"""Applies a poll's messages for the assignment with this number."""


class Prefetcher:
    """Queue of polls for `apply`, in order, one at a time; `fail` is called with its errors."""

    def __init__(
        self,
        assignment: Assignment,
        max_records: int,
        apply: Apply,
        fail: Callable[[Exception], None],
    ) -> None:
        self._assignment = assignment
        self._small = min(SMALL_POLL, max_records)
        self._apply = apply
        self._fail = fail
        self._applying: asyncio.Task[None] | None = None
        self._gathered: Messages = []
        self._gathered_in = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being applied."""
        return self._applying is None or self._applying.done()

    @property
    def waiting(self) -> int:
        """Number of messages that wait for the batch in progress."""
        return len(self._gathered)

    async def submit(self, messages: Messages) -> None:
        """Apply these after the previous poll, and return early enough for the next to be polled meanwhile.

        Small polls received meanwhile are merged into one batch: else each would wait for all those before it.
        """
        if self._gathered_in != self._assignment.number:
            self._gathered_in = self._assignment.number
            self._gathered = []
        messages = [*self._gathered, *messages]
        self._gathered = []
        if self._applying is not None and not self._applying.done():
            if len(messages) < self._small:
                self._gathered = messages
                await asyncio.wait({self._applying}, timeout=GATHER_SECONDS)  # a poll costs more than its few records
                return
            await asyncio.wait({self._applying})  # unlike `await`, it does not cancel the task if this is cancelled
        self._applying = asyncio.create_task(self._apply_all(messages))
        await asyncio.sleep(0)  # let it reach the store's thread before the next poll keeps this one busy

    async def _apply_all(self, messages: Messages) -> None:
        """Apply these messages, then those gathered meanwhile."""
        try:
            await self._apply(messages, self._gathered_in)
            while self._gathered:
                gathered, self._gathered = self._gathered, []
                await self._apply(gathered, self._gathered_in)
        except Exception as error:  # noqa: BLE001 - the task's error is not awaited
            self._fail(error)

    async def drain(self) -> None:
        """Wait until the current poll is applied."""
        if self._applying is not None:
            await self._applying
