"""Snapshots for commands, read in the running worker: one at a time, on a thread of their own, within a time limit.

An open snapshot keeps old versions of rows and defers checkpoints: the log of the store grows meanwhile. So a command
only receives the rows, as fast as it can write them to a file, and works with them afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from typing_extensions import Buffer

from worker.queries.server import QueryFailed
from worker.queries.snapshot import SnapshotQuery, parts_of, trailer
from worker.stores.errors import StoreError
from worker.stores.port import StoreLifecycle
from worker.stores.reading import StoreView

SNAPSHOT_SECONDS = 50.0
"""Less than the time limit of a response."""
WAIT_SECONDS = 20.0
"""Time that a snapshot waits for the one before it."""
_STOPS = "the worker stops"

R = TypeVar("R")


class SnapshotServer:
    """Snapshots of `store`, read concurrently with the thread that changes it."""

    def __init__(
        self,
        store: StoreLifecycle,
        time_limit_seconds: float = SNAPSHOT_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._store = store
        self._time_limit_seconds = time_limit_seconds
        self._wait_seconds = wait_seconds
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshots")
        self._turn = asyncio.Lock()
        self._current: Snapshot | None = None

    async def open(self, query: SnapshotQuery) -> Snapshot:
        """Open a snapshot, which the caller has to close. Raises `QueryFailed`."""
        try:
            await asyncio.wait_for(self._turn.acquire(), self._wait_seconds)
        except TimeoutError:
            raise QueryFailed("another command reads whole tables at the moment. Retry later") from None
        self._current = snapshot = Snapshot(self._store, self._executor, self._closed)
        try:
            await snapshot.open(query, self._time_limit_seconds)
        except BaseException:
            await snapshot.close()
            raise
        return snapshot

    def _closed(self) -> None:
        self._current = None
        self._turn.release()

    async def close(self) -> None:
        """Close the current snapshot, and open no more."""
        if self._current is not None:
            await self._current.close()
        self._executor.shutdown(wait=False, cancel_futures=True)


class Snapshot:
    """A snapshot of tables, read on the thread of `executor`."""

    def __init__(self, store: StoreLifecycle, executor: ThreadPoolExecutor, closed: Callable[[], object]) -> None:
        self._store = store
        self._executor = executor
        self._told_closed: Callable[[], object] | None = closed
        self._view: StoreView | None = None
        self._parts: Iterator[Buffer] = iter(())
        self._ended = ""
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, query: SnapshotQuery, time_limit_seconds: float) -> None:
        """Open it. Raises `QueryFailed`."""
        reason = f"the tables were not read within {time_limit_seconds:g} s"
        self._timer = asyncio.get_running_loop().call_later(time_limit_seconds, self._end, reason)
        await self._run(lambda: self._open(query))

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the result in parts. A failure is in its trailer, because the response has begun by then."""
        reason = ""
        try:
            while (part := await self._run(self._next)) is not None:
                yield part
        except QueryFailed as error:
            reason = str(error)
        yield trailer(reason)

    async def close(self) -> None:
        """Interrupt the query and close the snapshot."""
        if self._told_closed is None:
            return
        told_closed, self._told_closed = self._told_closed, None
        if self._timer is not None:
            self._timer.cancel()
        self._end(_STOPS)
        with suppress(RuntimeError):  # the executor is shut down
            await asyncio.shield(asyncio.wrap_future(self._executor.submit(self._close)))
        told_closed()

    async def _run(self, call: Callable[[], R]) -> R:
        try:
            return await asyncio.wrap_future(self._executor.submit(call))
        except StoreError as error:
            raise QueryFailed(self._ended or str(error)) from error
        except RuntimeError as error:  # the executor is shut down
            raise QueryFailed(self._ended or _STOPS) from error

    def _end(self, reason: str) -> None:
        """Interrupt the query, and close the view once its thread is free. Called from any thread."""
        self._ended = self._ended or reason
        if (view := self._view) is not None:
            view.interrupt()
        with suppress(RuntimeError):
            self._executor.submit(self._close)

    def _open(self, query: SnapshotQuery) -> None:
        self._view = view = self._store.view()
        view.when_ended(lambda: self._end("the store is being closed"))
        self._parts = parts_of(view, query)

    def _next(self) -> bytes | None:
        if self._ended:
            raise StoreError(self._ended)
        part = next(self._parts, None)
        return None if part is None else bytes(part)

    def _close(self) -> None:
        """Close the view. What a stream still refers to would keep the database open."""
        self._parts = iter(())
        if self._view is not None:
            self._view.close()
            self._view = None
