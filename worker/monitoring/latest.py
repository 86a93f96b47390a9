"""The last known result of a function that reads the store: kept while the store fails or does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

import structlog

from worker.logs.exceptions import described
from worker.stores.errors import StoreError

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Latest(Generic[T]):
    """The last result of `read`, which runs in another thread, one call at a time.

    `value` is that result, None if there was none yet, and `at` its time. `share` is the largest share of a core that
    repeated calls take: after a long one, the next call is made later.
    """

    def __init__(self, read: Callable[[], T], share: float = 1.0) -> None:
        self._read = read
        self._share = share
        self._reading: asyncio.Task[None] | None = None
        self._began = 0.0
        self._next_at = 0.0
        self._error: str | None = None
        self.value: T | None = None
        self.at: datetime | None = None

    async def refresh(self, within_seconds: float) -> None:
        """Call the function, unless it is too early or a call is in progress. Wait for the result within the limit."""
        if self._reading is None:
            if time.monotonic() < self._next_at:
                return
            self._began = time.monotonic()
            self._reading = asyncio.create_task(self._call())
        await asyncio.wait([self._reading], timeout=within_seconds)

    @property
    def failure(self) -> str | None:
        """The reason why `value` is not the result of the last call, None if it is."""
        if self._reading is not None:
            return f"the store has not answered for {time.monotonic() - self._began:.0f} s"
        return self._error

    async def _call(self) -> None:
        try:
            self.value = await asyncio.to_thread(self._read)
            self.at = datetime.now(UTC)
            self._error = None
        except Exception as error:
            is_expected = isinstance(error, StoreError)
            if self._error is None:
                log.warning("store not readable", error=described(error), exc_info=None if is_expected else error)
            self._error = described(error)
        finally:
            self._reading = None
            now = time.monotonic()
            self._next_at = now + (now - self._began) * (1 / self._share - 1)
