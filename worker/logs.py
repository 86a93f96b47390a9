"""Structured logs: text on a terminal, JSON elsewhere; always on standard error."""

from __future__ import annotations

import asyncio
import logging
import sys

import structlog

from worker.kafka_errors import in_words
from worker.settings import Log


def configure(settings: Log) -> None:
    """Send every log, the libraries' too, through one renderer."""
    as_text = settings.format == "text" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if not as_text:
        shared.append(structlog.processors.format_exc_info)
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    handler.addFilter(_is_news)
    handler.addFilter(_put_errors_in_words)
    _quieten_libraries()


def _is_news(record: logging.LogRecord) -> bool:
    if record.name == "faststream" and record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        return False  # the poll that waits while the worker stops; `app` notices where a loop ends by itself
    message = record.getMessage()
    # `joining` logs the one with its cause and the pauses, `kafka_connecting` finds the cause of the other.
    return "GroupCoordinatorNotAvailable" not in message and not message.startswith('Unable connect to "')


def _put_errors_in_words(record: logging.LogRecord) -> bool:
    """Replace errors that a library logs as they are, with the addresses and the class names of Python."""
    if isinstance(record.args, tuple):
        record.args = tuple(in_words(each) if isinstance(each, Exception) else each for each in record.args)
    return True


def _quieten_libraries() -> None:
    """What the libraries tell at INFO and WARNING the worker tells itself, and better."""
    for library in ("aiokafka", "faststream", "uvicorn"):
        logger = logging.getLogger(library)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.ERROR)
