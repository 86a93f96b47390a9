"""Periodic check that the store is writable, so that a full disk is found before the next batch."""

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
    """Periodic small write to the store. `failure` is the error of the last one, None if it succeeded."""

    def __init__(self, store: StoreLifecycle, thread: StoreThread) -> None:
        self._store = store
        self._thread = thread
        self.failure: str | None = None

    async def run(self, is_busy: Callable[[], bool]) -> None:
        """Check until cancelled, except while a batch is applied: the batch itself finds a failure."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if not is_busy():
                await self.look()

    async def look(self) -> None:
        """Write now. A store that failed is reopened, as before the next batch."""
        try:
            await self._thread.call(self._store.prove_writable)
        except StoreError as error:
            if self.failure is None:
                log.error("store not writable", error=str(error))  # noqa: TRY400 - the message is complete
            self.failure = str(error)
            with suppress(StoreError):
                await self._thread.call(self._store.reopen)
        else:
            if self.failure is not None:
                log.info("store writable again")
            self.failure = None
