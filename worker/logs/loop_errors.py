"""Errors that reach the event loop because their task or future was not awaited."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from aiokafka.errors import IllegalOperation, KafkaError

log = structlog.get_logger(__name__)

EXPECTED = (KafkaError, IllegalOperation, OSError, TimeoutError, asyncio.CancelledError)


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Log such errors, expected ones at the level DEBUG."""
    loop.set_exception_handler(_handle)


def _handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error without the representation of its task, which can hold content of records.

    aiokafka abandons the futures of a transaction that it aborts, and clients whose stop took too long. The cause was
    raised and logged where it occurred.
    """
    message, error = context["message"], context.get("exception")
    is_left_behind = message.endswith("exception was never retrieved") and isinstance(error, EXPECTED)
    if is_left_behind or message.startswith("Unclosed AIOKafka"):
        log.debug("abandoned Kafka request failed", message=message, cause=str(error or ""))
        return
    log.error("event loop error", message=message, exc_info=error)
