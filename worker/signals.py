"""SIGTERM and SIGINT from the first moment of the process, and a limit on the time that its stop may take.

Process 1 of a container does not receive a signal that has no handler, unless it blocks the signal: then the signal
waits. So the entry point of the image blocks them, and they are unblocked here, once they have handlers. Where nothing
blocks them, the handlers are installed before anything that takes long is imported; this module imports nothing large.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_SECONDS = 9.0
"""From the request to the end of the process. A busy machine has another second before 10 s are over."""
REPORT_SECONDS = 0.5
CHECK_EVERY_SECONDS = 0.1
COMMANDS_THAT_STOP_IN_STEPS = {"run"}


def _write(line: str) -> None:
    os.write(2, f"{line}\n".encode())


class StopRequest:
    """The request to stop this process, and its deadline, at which the process ends even if something hangs.

    `number` is the first signal received, None before. `step` names the step of the stop in progress.
    The process exits with what `exit_code` returns; `report` writes a line to the log.
    """

    def __init__(self) -> None:
        self.number: signal.Signals | None = None
        self.step = "starting"
        self.exit_code: Callable[[], int] = lambda: 0
        self.report: Callable[[str], None] = _write
        self._listener: Callable[[signal.Signals], None] | None = None
        self._deadline: float | None = None

    def listen(self, listener: Callable[[signal.Signals], None]) -> None:
        """Call `listener` at the first signal; at once if it was received before."""
        self._listener = listener
        if self.number is not None:
            listener(self.number)

    def handle(self, number: int, frame: object = None) -> None:  # noqa: ARG002 - a signal handler
        """Take the first signal as the request to stop; end the process at the second."""
        if self.number is not None:
            # Transactions of the store and of Kafka are atomic: uncommitted work is repeated at the next start.
            self.end(128 + number, f"stopping at once: second signal, {signal.Signals(number).name}")
        self.number = signal.Signals(number)
        self.begin()
        if self._listener is not None:
            self._listener(self.number)

    def begin(self) -> None:
        """Start the time limit of the stop, unless it runs already."""
        if self._deadline is None:
            self._deadline = time.monotonic() + STOP_SECONDS
            # `threading.Thread.start` takes a lock that the code interrupted by a signal may hold.
            _thread.start_new_thread(self._watch, ())

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; all of them before the stop began."""
        return STOP_SECONDS if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def end_within(self, seconds: float, step: str) -> None:
        """Bring the deadline forward, for a last step."""
        self.begin()
        self.step = step
        self._deadline = time.monotonic() + min(seconds, self.remaining)

    def end(self, code: int, line: str) -> NoReturn:
        """Write a line to the log, and end the process without any clean-up."""
        # The log may be a pipe without a reader, or its lock may be held by a thread that hangs.
        reporting = threading.Thread(target=self.report, args=(line,), daemon=True)
        reporting.start()
        reporting.join(REPORT_SECONDS)
        os._exit(code)

    def _watch(self) -> None:
        while self.remaining:
            time.sleep(min(CHECK_EVERY_SECONDS, self.remaining))
        self.end(self.exit_code(), f"stop took too long: {self.step}. Unpublished records are kept for the next start")


STOP_REQUEST = StopRequest()
"""Signals are sent to a process, so there is one request for each."""


def install(arguments: Sequence[str]) -> None:
    """Install the handlers for the command that these arguments name. Signals that are ignored (nohup) remain so."""
    in_steps = bool(arguments) and arguments[0] in COMMANDS_THAT_STOP_IN_STEPS
    for number in STOP_SIGNALS if in_steps else (signal.SIGTERM,):  # Python has a handler of its own for SIGINT
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, STOP_REQUEST.handle if in_steps else _end_at_once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _end_at_once(number: int, frame: object) -> None:  # noqa: ARG001 - a signal handler
    """End as without a handler, also in process 1, which signals without a handler do not end."""
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)
