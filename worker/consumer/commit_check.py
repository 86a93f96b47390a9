"""Check that a shared store has the commits of this worker: a promoted standby server may lack the last ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import structlog

from worker.stores.errors import StoreBehindError, StoreError
from worker.stores.port import OwnershipStore
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)


class CommitCheck:
    """Check of one worker's store; `count` is called for each loss."""

    def __init__(self, store: OwnershipStore, thread: StoreThread, count: Callable[[], object]) -> None:
        self._store = store
        self._thread = thread
        self._count = count
        self._reported = ""

    async def run(self) -> bool:
        """Return whether commits are lost, and report them. Raises `StoreError`."""
        try:
            await self._thread.call(self._store.require_commits)
        except StoreBehindError as lost:
            self.report(lost)
            return True
        return False

    async def are_lost(self) -> bool:
        """As `run`, between batches: a store that failed is reopened, and checked next time."""
        try:
            return await self.run()
        except StoreError as error:
            log.debug("commits not checked", error=str(error))
            with suppress(StoreError):
                await self._thread.call(self._store.reopen)
            return False

    def report(self, lost: StoreBehindError) -> None:
        """Log and count a loss, once: it is found again until the partitions are claimed."""
        if str(lost) != self._reported:
            self._reported = str(lost)
            log.error("store lost commits", reason=self._reported)
            self._count()
