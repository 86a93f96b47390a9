"""Fields of log lines that name the current span. There are none without tracing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog


class TraceFields:
    """A processor of structlog that adds the fields that `current` returns for a line."""

    def __init__(self) -> None:
        self.current: Callable[[], Mapping[str, str]] | None = None

    def __call__(self, _: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Add the fields to a line. It is called where the line is written, with the context of that."""
        if self.current is not None:
            event.update(self.current())
        return event


TRACE_FIELDS = TraceFields()
"""The fields of the log of this process."""
