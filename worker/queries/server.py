"""Query server of the running worker: one query at a time, on its own thread, within a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from worker.queries.query import Query
from worker.settings import Settings
from worker.stores.errors import StoreError
from worker.stores.port import StoreLifecycle
from worker.stores.reading import StoreView

TIME_LIMIT_SECONDS = 10.0
INTERRUPT_EVERY_SECONDS = 0.05


class QueryFailed(Exception):
    """A query that was not completed; the message has the cause."""


class QueryServer:
    """Executor of queries on `store`, concurrent with the thread that changes it."""

    def __init__(
        self, store: StoreLifecycle, settings: Settings, time_limit_seconds: float = TIME_LIMIT_SECONDS
    ) -> None:
        self._store = store
        self._settings = settings
        self._time_limit_seconds = time_limit_seconds
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="questions")
        self._view: StoreView | None = None

    async def run(self, query: Query[Any, Any], parameters: msgspec.Struct) -> bytes:
        """Return the result as JSON. Raises `QueryFailed` on a timeout, and if the store fails."""
        finding = self._executor.submit(self._run, query, parameters)
        found = asyncio.wrap_future(finding)
        await asyncio.wait([found], timeout=self._time_limit_seconds)
        if not found.done():
            if not finding.cancel():
                await self._interrupt_until(found)
            raise QueryFailed(
                f"{query.name} was not completed within {self._time_limit_seconds:g} s: the machine or the query "
                "server is busy. Retry later"
            )
        try:
            return await found
        except StoreError as error:
            raise QueryFailed(str(error)) from error

    def _run(self, query: Query[Any, Any], parameters: msgspec.Struct) -> bytes:
        with self._store.view() as self._view:
            return msgspec.json.encode(query.run(self._view, self._settings, parameters))

    async def _interrupt_until(self, done: Awaitable[Any]) -> None:
        """Interrupt each SQL statement of the current query until the query has ended."""
        future = asyncio.ensure_future(done)
        while not future.done():
            if self._view is not None:
                self._view.interrupt()
            await asyncio.wait([future], timeout=INTERRUPT_EVERY_SECONDS)
        if not future.cancelled():
            future.exception()  # mark the exception as retrieved

    async def close(self) -> None:
        """Interrupt the current query, and accept no more."""
        await self._interrupt_until(asyncio.to_thread(self._executor.shutdown, cancel_futures=True))
