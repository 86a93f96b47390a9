"""Structured logs: text on a terminal, JSON elsewhere; always on standard error."""

from __future__ import annotations

import asyncio
import logging
import sys

import structlog
from aiokafka.errors import KafkaError

from worker.logs.exceptions import hide_content, log_uncaught, render_exception
from worker.logs.limits import LIMITS, add_suppressed
from worker.logs.trace_fields import TRACE_FIELDS
from worker.settings import Log


def configure(settings: Log) -> None:
    """Send every log, the libraries' too, through one renderer."""
    as_text = settings.format == "text" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        TRACE_FIELDS,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        render_exception,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer = structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[add_suppressed, structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    handler.addFilter(_is_news)
    handler.addFilter(hide_content)
    log_uncaught()
    LIMITS.clear()
    handler.addFilter(LIMITS)
    _quieten_libraries()


def _is_news(record: logging.LogRecord) -> bool:
    if record.name == "faststream" and record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        return False  # the poll that waits while the worker stops; supervision finds a loop that has ended
    if record.name == "aiokafka.cluster" and "not authorized" in record.getMessage():
        return False  # `input_watch` and `publish_requirements` log it with the right that is missing
    if record.name == "aiokafka.producer.sender" and not _is_unforeseen(record):
        return False  # the caller gets the same error, and logs it
    if not record.name.startswith("aiokafka"):
        return True
    message = record.getMessage()
    # `joining` logs the one with its cause and the pauses, `kafka_connecting` finds the cause of the other.
    return "GroupCoordinatorNotAvailable" not in message and not message.startswith('Unable connect to "')


def _is_unforeseen(record: logging.LogRecord) -> bool:
    return bool(record.exc_info and record.exc_info[1] and not isinstance(record.exc_info[1], KafkaError))


def _quieten_libraries() -> None:
    """Raise the log levels of libraries: the worker logs the same events itself, with more context."""
    for library in ("aiokafka", "faststream", "uvicorn"):
        logger = logging.getLogger(library)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.ERROR)
