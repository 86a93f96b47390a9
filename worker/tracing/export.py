"""Export of spans: a bounded queue, a thread of its own, one log line when it fails and one when it works again.

A receiver that is down or frozen costs spans, never time of the worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import entry_points

import structlog
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from typing_extensions import override

from worker import __version__
from worker.logs.exceptions import described

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 1.0
DEFAULT_MAX_LINKS = 128
"""If OTEL_SPAN_LINK_COUNT_LIMIT sets none, or no limit."""
MAX_QUEUE_SIZE, MAX_EXPORT_SIZE = 512, 128
"""Spans that wait for the receiver, and spans per request. One with 128 links takes 80 kB of memory: 40 MB in all."""


class ExporterMissing(Exception):
    """A requested exporter that no installed package offers."""


class Export:
    """The provider of spans, configured by the environment, and the exporters of this name.

    `max_links` is the limit of links per span.
    """

    def __init__(self, exporter_names: Iterable[str]) -> None:
        limits = SpanLimits()
        self.max_links: int = DEFAULT_MAX_LINKS if limits.max_links is None else limits.max_links
        self.provider = TracerProvider(resource=_resource(), span_limits=limits, shutdown_on_exit=False)
        self._exporters = [WatchedExporter(_exporter(name)) for name in exporter_names]
        for exporter in self._exporters:
            self.provider.add_span_processor(_processor(exporter))
        _take_over_log()

    async def close(self) -> None:
        """Export the last spans, for a limited time. Nothing is waited for while the export fails."""
        if any(exporter.is_failing for exporter in self._exporters):
            return
        closed, loop = asyncio.Event(), asyncio.get_running_loop()

        def shut_down() -> None:
            self.provider.shutdown()
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(closed.set)

        # Not an executor's thread, which the interpreter would wait for.
        threading.Thread(target=shut_down, name="tracing", daemon=True).start()
        try:
            await asyncio.wait_for(closed.wait(), CLOSE_SECONDS)
        except TimeoutError:
            log.warning("spans not exported", error=f"no answer within {CLOSE_SECONDS:.0f} s")


class WatchedExporter(SpanExporter):
    """An exporter whose failures are logged once, until it works again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0
        self.is_failing = False

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        _FIRST_ERROR.clear()
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self.is_failing:
                log.info("spans exported again", lost=self._lost)
            self.is_failing, self._lost = False, 0
            return result
        self._lost += len(spans)
        if not self.is_failing:
            self.is_failing = True
            log.warning("spans not exported", error=_FIRST_ERROR.text, retrying="until the receiver answers")
        return result

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _FirstError(logging.Handler):
    """The first error that OpenTelemetry logs in this thread, in words."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._local = threading.local()

    def clear(self) -> None:
        """Forget it."""
        self._local.text = None

    @property
    def text(self) -> str:
        """The error, in words."""
        return getattr(self._local, "text", None) or "unknown"

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if getattr(self._local, "text", None) is None:
            self._local.text = _in_words(record)


_FIRST_ERROR = _FirstError()


def _in_words(record: logging.LogRecord) -> str:
    """Describe the exception in a line of the log by its innermost cause, any other line as it is."""
    error = next((each for each in record.args or () if isinstance(each, BaseException)), None)
    if error is None:
        return record.getMessage()
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return described(error)


def _take_over_log() -> None:
    """Keep the lines of OpenTelemetry out of the log: it would log each attempt and each span that is lost."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [_FIRST_ERROR]
    logger.propagate = False


def _resource() -> Resource:
    resource = Resource({SERVICE_VERSION: __version__}).merge(Resource.create())
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # the environment has none
        resource = resource.merge(Resource({SERVICE_NAME: "customer-worker"}))
    return resource


def _exporter(name: str) -> SpanExporter:
    for found in entry_points(group="opentelemetry_traces_exporter", name=name):
        exporter: SpanExporter = found.load()()
        return exporter
    raise ExporterMissing(f"the exporter {name} is not installed")


def _processor(exporter: SpanExporter) -> BatchSpanProcessor:
    if {"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"} & os.environ.keys():
        return BatchSpanProcessor(exporter)
    return BatchSpanProcessor(exporter, max_queue_size=MAX_QUEUE_SIZE, max_export_batch_size=MAX_EXPORT_SIZE)
