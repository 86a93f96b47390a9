"""Exceptions in the log: types, frames and harmless messages. No content of a record is ever in a log.

Local variables, which hold whole batches, are never logged; nor are messages that `error_messages` withholds.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType

import structlog
from aiokafka.errors import KafkaError

from worker.error_messages import OWN_PACKAGES, WITHHELD, message_of
from worker.kafka.errors import in_words


def described(error: BaseException) -> str:
    """Describe the error in one line: its message if that is harmless, else its type."""
    if isinstance(error, KafkaError | OSError):
        return in_words(error)
    name = type(error).__name__
    message = message_of(error)
    if message is None:
        return f"{name} ({WITHHELD})"
    package = type(error).__module__.partition(".")[0]
    return message if message and package in OWN_PACKAGES else f"{name}: {message}" if message else name


def rendered(error: BaseException) -> str:
    """Format the error and its causes as Python does, without local variables and withheld messages."""
    return "\n".join(_lines(error, set()))


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        cause = "was the direct cause of" if error.__cause__ else "was being handled at the time of"
        yield f"\nThe above exception {cause} the following one:\n"
    yield "Traceback (most recent call last):"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    message = message_of(error)
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    yield f"{name} ({WITHHELD})" if message is None else f"{name}: {message}" if message else name
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            if id(part) not in seen:
                yield "\nOne of its parts:\n"
                yield from _lines(part, seen)


def render_exception(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace `exc_info` by `exception`, the rendered text. A processor of structlog."""
    error = _error_in(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = rendered(error)
        event["event"] = _without_messages_of(str(event["event"]), error)
    return event


def _error_in(info: object) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return info[1] if isinstance(info[1], BaseException) else None
    return sys.exc_info()[1] if info else None


def _without_messages_of(text: str, error: BaseException) -> str:
    """Remove withheld messages from the text: libraries include the message of an exception in their own."""
    chain: BaseException | None = error
    seen: set[int] = set()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        if message_of(chain) != str(chain):
            for message in filter(None, (repr(chain), str(chain))):
                text = text.replace(message, described(chain))
        chain = chain.__cause__ or chain.__context__
    return text


def hide_content(record: logging.LogRecord) -> bool:
    """Describe the exceptions among a library's arguments, and remove asyncio's text about its tasks. A filter."""
    if isinstance(record.args, tuple) and any(isinstance(each, BaseException) for each in record.args):
        record.args = tuple(described(each) if isinstance(each, BaseException) else each for each in record.args)
    if record.name == "asyncio":  # "<Task … result={…}>", "exception=ValueError('…')"
        record.msg = record.getMessage().partition("\n")[0].partition("<")[0].strip()
        record.args = ()
    return True


def log_uncaught() -> None:
    """Log exceptions that nothing catches, in any thread, in place of Python's own print of them."""
    log = structlog.get_logger(__name__)

    def of_the_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("uncaught exception", exc_info=(kind, error, trace))

    def of_a_thread(found: threading.ExceptHookArgs) -> None:
        log.error("uncaught exception in a thread", exc_info=found.exc_value)

    def of_a_finaliser(found: sys.UnraisableHookArgs) -> None:
        log.error("unraisable exception", exc_info=found.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_the_process, of_a_thread, of_a_finaliser
