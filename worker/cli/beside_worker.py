"""Process of a command that does much work, on a machine whose worker is busy."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

NICENESS = 10
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def run_beside_worker() -> None:
    """Give the worker precedence over this process, and let signals end it with its temporary files deleted."""
    os.nice(NICENESS)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)


def _exit(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler
    raise SystemExit(128 + number)
