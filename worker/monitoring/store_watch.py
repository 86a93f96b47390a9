"""Whether the store takes writes, known also while there is nothing to write: no full disk should wait for a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from worker.stores.errors import StoreError
from worker.stores.port import StoreLifecycle
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

EVERY_SECONDS = 30.0


class StoreWatch:
    """Tries a small write now and then. `failure` is what went wrong at the last one, None where nothing did."""

    def __init__(self, store: StoreLifecycle, thread: StoreThread) -> None:
        self._store = store
        self._thread = thread
        self.failure: str | None = None

    async def run(self, is_busy: Callable[[], bool]) -> None:
        """Look until cancelled, but not while a batch is in hand: that finds out by itself."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if not is_busy():
                await self.look()

    async def look(self) -> None:
        """Write now. A store that failed is opened anew, as the next batch would."""
        try:
            await self._thread.call(self._store.prove_writable)
        except StoreError as error:
            if self.failure is None:
                log.error("the store cannot be written", error=str(error))  # noqa: TRY400 - the message says it all
            self.failure = str(error)
            with suppress(StoreError):
                await self._thread.call(self._store.reopen)
        else:
            if self.failure is not None:
                log.info("the store can be written again")
            self.failure = None
