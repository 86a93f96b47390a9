"""Check that a shared store has the commits of this worker: a promoted standby server may lack the last ones."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from worker.stores.errors import StoreBehindError
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
        """Return whether the store has all commits, and report those that it has lost. Raises `StoreError`."""
        try:
            await self._thread.call(self._store.require_commits)
        except StoreBehindError as lost:
            self.report(lost)
            return False
        return True

    def report(self, lost: StoreBehindError) -> None:
        """Log and count a loss, once: it is found again until the partitions are claimed."""
        if str(lost) != self._reported:
            self._reported = str(lost)
            log.error("store lost commits", reason=self._reported)
            self._count()
