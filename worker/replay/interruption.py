"""Ctrl-C, SIGTERM and a lost terminal: noted at once, and taken up where nothing is left half done."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal asked for the end."""


class Interruption:
    """Whether a signal has asked for the end. The first one counts; whoever sends more loses nothing by it."""

    def __init__(self, say: Callable[[], object]) -> None:
        self._say = say
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self.is_asked = False

    def check(self) -> None:
        """Raise `Interrupted` where a signal has come."""
        if self.is_asked:
            raise Interrupted

    @contextmanager
    def cancelling(self) -> Iterator[None]:
        """A signal cancels the task that is in here, once; so does one that came before."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            if self.is_asked:
                self._cancel()
            yield
        finally:
            self._task = None

    def note(self, number: int = 0, frame: FrameType | None = None) -> None:  # noqa: ARG002 - a signal's handler
        """Take note of a signal."""
        if self.is_asked:
            return
        self.is_asked = True
        self._say()
        if self._task is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


@contextmanager
def interruptible(say: Callable[[], object]) -> Iterator[Interruption]:
    """Signals are noted in here, those that this process is to ignore (nohup) aside; `say` is called at the first."""
    interruption = Interruption(say)
    noted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interruption.note) for number in noted}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
