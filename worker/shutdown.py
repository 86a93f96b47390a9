"""The stop of a worker in steps, none of which waits longer than the time left until the process's deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from signal import Signals
from typing import Any, NoReturn, TypeVar

import structlog

from worker.errors import Stop
from worker.signals import STOP_SIGNALS, StopRequest

T = TypeVar("T")

log = structlog.get_logger(__name__)

TEARDOWN_SECONDS = 2.0
"""For the interpreter, once everything is closed."""


class Shutdown:
    """Runner of the steps of the stop. `unfinished` has the names of those that did not end in time."""

    def __init__(self, request: StopRequest, exit_code: Callable[[], int]) -> None:
        self._request = request
        self._exit_code = exit_code
        self.unfinished: list[str] = []
        request.exit_code = exit_code
        request.report = log.warning

    def on_signal(self, stop: Callable[[], None]) -> None:
        """Call `stop` at the first SIGTERM or SIGINT, also if that was received before.

        A second one ends the process.
        """

        def first(number: Signals) -> None:
            log.info("stopping", signal=number.name)
            stop()

        loop = asyncio.get_running_loop()
        for each in STOP_SIGNALS:
            loop.add_signal_handler(each, self._request.handle, each)
        self._request.listen(first)

    async def unless_stopped(self, opening: Coroutine[Any, Any, T], stop: Stop) -> T:
        """Return the result of `opening`. If a stop is requested before, nothing was done yet: end the process."""
        task, stopping = asyncio.ensure_future(opening), asyncio.ensure_future(stop.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_asked:
            self._end("start not completed")
        stopping.cancel()
        return await task

    async def step(self, name: str, work: Coroutine[Any, Any, Any], keep: float) -> bool:
        """Run a step, and return whether it ended in time: `keep` seconds are left to the steps that follow.

        A step that fails does not keep the others from running.
        """
        self._request.begin()
        self._request.step = name
        task = asyncio.ensure_future(work)
        # `asyncio.wait_for` would wait for the end of the cancelled task as well, which can hang.
        await asyncio.wait({task}, timeout=max(0.0, self._request.remaining - keep))
        if not task.done():
            task.cancel()
            task.add_done_callback(_retrieve)
            self.unfinished.append(name)
            log.warning("stop step unfinished", step=name)
            return False
        if error := _retrieve(task):
            log.error("stop step failed", step=name, exc_info=error)
        return True

    def finish(self) -> None:
        """Log the end. What hangs in an unfinished step would hang the interpreter too: end the process."""
        if self.unfinished:
            self._end(f"unfinished: {', '.join(self.unfinished)}; the next start continues from the store")
        log.info("stopped", exit_code=int(self._exit_code()))
        self._request.end_within(TEARDOWN_SECONDS, "ending the interpreter")

    def _end(self, why: str) -> NoReturn:
        code = int(self._exit_code())
        self._request.report = lambda line: log.info("stopped", exit_code=code, note=line)
        self._request.end(code, why)


def _retrieve(task: asyncio.Task[Any]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
