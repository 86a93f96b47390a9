"""The thread that calls a store, so that calls never overlap and the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class StoreThread:
    """A thread that runs one call at a time, in order."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` on the thread. A call that has begun runs to its end, even if its caller is cancelled."""
        return await asyncio.wrap_future(self._executor.submit(function, *args, **kwargs))

    def close(self, *, wait: bool = True) -> None:
        """End the thread after the call in hand, for which this waits if `wait` is true."""
        self._executor.shutdown(wait=wait, cancel_futures=True)
