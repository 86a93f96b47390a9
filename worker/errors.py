"""Why the worker stops, and with which exit code."""

from __future__ import annotations

import asyncio
from enum import IntEnum

import structlog

log = structlog.get_logger(__name__)


class Exit(IntEnum):
    """Exit codes of the command line; those of sysexits.h where it has one that fits."""

    DONE = 0
    NO = 1
    USAGE = 2
    UNREACHABLE = 69
    SAFETY = 70
    CONFIGURATION = 78


class Refusal(Exception):
    """The worker will not start or go on. The message says what happened, to what, and what to do next."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


def internal_error(error: BaseException) -> str:
    """Describe an error that nobody foresaw; the log has its traceback."""
    return (
        f"internal error: {type(error).__name__}, with its traceback in the log. Restart once; if it recurs, open an "
        "issue with this log"
    )


class PositionRefused(Exception):
    """Reading on from here would lose records; the message says which, and what allows it."""


class Stop:
    """Asked for once, from anywhere in the worker; the first reason counts."""

    def __init__(self) -> None:
        self.code = Exit.DONE
        self._asked = asyncio.Event()

    @property
    def is_asked(self) -> bool:
        """Whether the worker is stopping."""
        return self._asked.is_set()

    def ask(self, code: Exit = Exit.DONE) -> None:
        """Stop the worker."""
        if not self.is_asked:
            self.code = code
            self._asked.set()

    def fail_stop(self, message: str) -> None:
        """Stop the worker because going on could do harm; the log says why and what to do, for the first reason."""
        if not self.is_asked:
            log.critical("stopped for safety", why=message)
            self.ask(Exit.SAFETY)

    async def wait(self) -> None:
        """Until the worker is asked to stop."""
        await self._asked.wait()
