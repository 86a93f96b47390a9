"""Interruption by a signal: recorded at once, handled between two batches."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """Raised after a signal to stop."""


class Interruption:
    """The first signal to stop. Further signals have no effect."""

    def __init__(self, announce: Callable[[], object]) -> None:
        self._announce = announce
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self.is_asked = False

    def check(self) -> None:
        """Raise `Interrupted` if a signal was received."""
        if self.is_asked:
            raise Interrupted

    @contextmanager
    def cancelling(self) -> Iterator[None]:
        """Cancel the task in this context once a signal is received, also if that was before."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            if self.is_asked:
                self._cancel()
            yield
        finally:
            self._task = None

    def note(self, number: int = 0, frame: FrameType | None = None) -> None:  # noqa: ARG002 - a signal's handler
        """Handle a signal."""
        if self.is_asked:
            return
        self.is_asked = True
        self._announce()
        if self._task is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


@contextmanager
def interruptible(announce: Callable[[], object]) -> Iterator[Interruption]:
    """Handle signals in this context, except ignored ones (nohup). The first calls `announce`."""
    interruption = Interruption(announce)
    noted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interruption.note) for number in noted}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
