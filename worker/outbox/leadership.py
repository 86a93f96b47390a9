"""Which worker publishes, of those that share one store."""

from __future__ import annotations

import asyncio

import structlog

from worker.errors import Stop
from worker.stores.port import NewerStoreError, Store, StoreError
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

ASK_EVERY_SECONDS = 1.0


class Leadership:
    """Whether this worker is the one who publishes: `is_held`. Where a store is one worker's alone, it always is."""

    def __init__(self, store: Store, stop: Stop) -> None:
        self._store = store
        self._stop = stop
        self._thread = StoreThread()  # of its own: a batch in hand is no silence
        self.is_held = store.exclusive_id is not None

    async def gained(self) -> None:
        """Until this worker is the one who publishes."""
        await self._until(held=True)

    async def lost(self) -> None:
        """Until another worker is, or the store is away. To wait for it is also what keeps it."""
        await self._until(held=False)

    async def _until(self, *, held: bool) -> None:
        while await self._ask() is not held:  # noqa: ASYNC110 - another worker's event is not to be waited for
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _ask(self) -> bool:
        try:
            self.is_held = await self._thread.call(self._store.lead)
        except NewerStoreError as refused:
            self._stop.fail_stop(str(refused))
            self.is_held = False
        except StoreError as error:
            log.debug("leadership is not known", error=str(error))
            self.is_held = False
        return self.is_held
