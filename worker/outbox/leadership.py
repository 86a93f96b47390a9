"""Leadership: of the workers that share a store, the leader publishes, the others are standbys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from worker.errors import Stop
from worker.stores.errors import NewerStoreError, StoreError
from worker.stores.port import OwnershipStore
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

ASK_EVERY_SECONDS = 1.0


class Leadership:
    """The right to publish. `is_held` is always true for a single-process store.

    `lost_because` is the reason of a loss.
    """

    def __init__(self, store: OwnershipStore, stop: Stop) -> None:
        self._store = store
        self._stop = stop
        self._thread = StoreThread()  # separate: a long batch must not delay the renewal of the leadership
        self.is_held = not store.is_shared
        self.lost_because = ""

    async def gained(self) -> None:
        """Wait until this worker leads."""
        await self._until(held=True)

    async def run_while_held(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run `work` until it ends or leadership is lost, which cancels it; returns whether `work` ended by itself."""
        working = asyncio.create_task(work())
        losing = asyncio.create_task(self._until(held=False))  # which also renews the leadership
        try:
            await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return True
            return False
        finally:
            for task in (working, losing):
                task.cancel()
            await asyncio.wait({working, losing})

    async def _until(self, *, held: bool) -> None:
        while await self._ask() is not held:  # noqa: ASYNC110 - another worker's event is not to be waited for
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _ask(self) -> bool:
        try:
            self.is_held = await self._thread.call(self._store.lead)
            self.lost_because = "another worker leads"
        except NewerStoreError as refused:
            self._stop.fail_stop(str(refused))
            self.is_held, self.lost_because = False, str(refused)
        except StoreError as error:
            log.debug("leadership not known", error=str(error))
            self.is_held, self.lost_because = False, str(error)
        return self.is_held
