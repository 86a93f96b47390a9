"""Repeated log lines: the first of a kind is written, repetitions are counted and written at growing intervals.

Without a reachable broker, aiokafka logs about a hundred errors per second.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from typing_extensions import override

FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 600.0
QUIET_SECONDS = 60.0
"""After a gap of this length a line is written again at once."""
TEXTS_OF_A_TEMPLATE = 8
KINDS = 1_000
ERROR_FIELD = "error"
"""Lines of the worker itself are limited only if they have this field, the cause of a failed attempt."""
_VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+", re.IGNORECASE)


class _Kind(NamedTuple):
    logger: str
    level: int
    template: str
    text: str


@dataclass
class _Repeats:
    last: float
    next: float
    pause: float = FIRST_PAUSE_SECONDS
    suppressed: int = 0


class LogLimits(logging.Filter):
    """A filter of a handler. A line that passes has the number of lines suppressed before it as `suppressed`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[_Kind, _Repeats] = {}
        self._texts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.RLock()  # the garbage collector can log in here

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        with self._lock:
            kind = self._kind_of(record)
            return kind is None or self._is_due(kind, record)

    def clear(self) -> None:
        """Forget every line."""
        with self._lock:
            self._kinds.clear()
            self._texts.clear()

    def start_anew(self, *loggers: str) -> int:
        """Write the next line of each kind of these loggers; returns how many were suppressed and not reported."""
        with self._lock:
            ended = [kind for kind in self._kinds if kind.logger.partition(".")[0] in loggers]
            return sum(self._kinds.pop(kind).suppressed for kind in ended)

    def _kind_of(self, record: logging.LogRecord) -> _Kind | None:
        """Compute the kind of a line that may repeat; None for any other."""
        if record.levelno < logging.WARNING:
            return None
        if isinstance(record.msg, dict):  # structlog's, of the worker itself
            if ERROR_FIELD not in record.msg:
                return None
            template, text = str(record.msg.get("event")), str(record.msg[ERROR_FIELD])
        else:
            template, text = str(record.msg), record.getMessage()
        return self._bounded(_Kind(record.name, record.levelno, _VARYING.sub("#", template), _VARYING.sub("#", text)))

    def _bounded(self, kind: _Kind) -> _Kind:
        """Distinguish texts of one template up to a number, so that none can flood the log."""
        if kind in self._kinds:
            return kind
        template = kind.logger, kind.template
        self._texts[template] += 1
        return kind if self._texts[template] <= TEXTS_OF_A_TEMPLATE else kind._replace(text="")

    def _is_due(self, kind: _Kind, record: logging.LogRecord) -> bool:
        now = self._clock()
        repeats = self._kinds.get(kind)
        if repeats is None:
            if len(self._kinds) >= KINDS:
                self._kinds.pop(next(iter(self._kinds)))
            self._kinds[kind] = _Repeats(now, now + FIRST_PAUSE_SECONDS)
            return True
        is_back = now - repeats.last >= QUIET_SECONDS
        repeats.last = now
        if now < repeats.next and not is_back:
            repeats.suppressed += 1
            return False
        repeats.pause = FIRST_PAUSE_SECONDS if is_back else min(2 * repeats.pause, LONGEST_PAUSE_SECONDS)
        repeats.next = now + repeats.pause
        record.suppressed, repeats.suppressed = repeats.suppressed, 0
        return True


LIMITS = LogLimits()
"""The limits of the log of this process."""


def add_suppressed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the number of suppressed lines of this kind since the last one. A processor of structlog."""
    if suppressed := getattr(event.get("_record"), "suppressed", 0):
        event["suppressed"] = suppressed
    return event
