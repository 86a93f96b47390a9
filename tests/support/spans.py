"""Spans recorded in memory, and the contexts of senders."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link

from worker.messages.record import Header
from worker.tracing.export import Export
from worker.tracing.opentelemetry_spans import OpenTelemetryTracing


class RecordedTracing(OpenTelemetryTracing):
    """The worker's tracing, which keeps the finished spans."""

    def __init__(self, max_links: int = 128) -> None:
        export = Export([])
        export.max_links = max_links
        self._exporter = InMemorySpanExporter()
        export.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        super().__init__(export, "the-group")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """The finished spans."""
        return self._exporter.get_finished_spans()

    @property
    def span(self) -> ReadableSpan:
        """The only finished span."""
        (span,) = self.spans
        return span


def traceparent(number: int, flags: str = "01") -> str:
    """Return the context of a sender."""
    return f"00-{number:032x}-{number:016x}-{flags}"


def traced(number: int, flags: str = "01") -> list[Header]:
    """Return the headers of a record that was sent in this context."""
    return [("traceparent", traceparent(number, flags).encode())]


def linked(links: Sequence[Link]) -> list[str]:
    """Return the linked contexts as `traceparent`."""
    contexts = [link.context for link in links]
    return [f"00-{each.trace_id:032x}-{each.span_id:016x}-{each.trace_flags:02x}" for each in contexts]
