"""Reasons to stop the worker, and the exit codes."""

from __future__ import annotations

import asyncio
from enum import IntEnum

import structlog

log = structlog.get_logger(__name__)


class Exit(IntEnum):
    """Exit codes of the command line; those of sysexits.h if one fits."""

    DONE = 0
    NO = 1
    USAGE = 2
    UNREACHABLE = 69
    SAFETY = 70
    CONFIGURATION = 78


class Refusal(Exception):
    """A start or an operation that is refused. The message has the failure, its cause and the remedy."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


def internal_error(error: BaseException) -> str:
    """Describe an unexpected error; the log has its traceback."""
    return (
        f"internal error: {type(error).__name__}, with its traceback in the log. Restart once; if it recurs, open an "
        "issue with this log"
    )


class PositionRefused(Exception):
    """A position from which records would be lost. The message names them, and the setting that allows it."""


class Stop:
    """The request to stop, made from any part of the worker; the first reason counts."""

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
        """Stop the worker because continuing could do harm. The first reason is logged, with the remedy."""
        if not self.is_asked:
            log.critical("stopped for safety", reason=message)
            self.ask(Exit.SAFETY)

    async def wait(self) -> None:
        """Wait until a stop is requested."""
        await self._asked.wait()
