"""Background tasks of a running worker."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any


class BackgroundTasks:
    """Named asyncio tasks that are started, observed and cancelled together."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a task."""
        self._tasks.append(asyncio.create_task(work, name=name))

    def failures(self) -> Iterator[tuple[str, BaseException]]:
        """Yield the name and the error of each task that has failed."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                yield task.get_name(), error

    def cancel(self) -> None:
        """Cancel each task."""
        for task in self._tasks:
            task.cancel()

    async def wait(self) -> None:
        """Wait for the end of each task."""
        await asyncio.wait(self._tasks)

    async def abort(self) -> None:
        """Cancel each task, and wait for its end. Errors are ignored."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
