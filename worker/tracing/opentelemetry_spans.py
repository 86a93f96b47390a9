"""Spans of OpenTelemetry for batches and transactions, by its semantic conventions for Kafka.

Attributes have names, counts and types of errors, never the content of a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import TypeVar

import structlog
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from typing_extensions import override

from worker import __version__
from worker.logs.exceptions import described
from worker.messages.outgoing import Outgoing
from worker.processing.batch import BatchResult, Messages
from worker.tracing.export import Export
from worker.tracing.sender_contexts import links_of_batch, links_of_transaction
from worker.tracing.spans import BatchSpan, Tracing

T = TypeVar("T")

log = structlog.get_logger(__name__)

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions."""
COMMITS_KEPT = 16

_topic_partition_of = attrgetter("source.topic_partition")
_topic_of = attrgetter("topic")


class OpenTelemetryTracing(Tracing):
    """Tracing by OpenTelemetry.

    A span has links for at most so many records as it may have links; those behind them are not looked at, so that the
    cost of a span is bounded.
    """

    def __init__(self, export: Export, group_id: str) -> None:
        self._export = export
        self._tracer = export.provider.get_tracer("customer-worker", __version__, SCHEMA_URL)
        self._group_id = group_id
        self._commits = _Commits()

    @override
    @contextmanager
    def batch(self, messages: Messages) -> Iterator[BatchSpan]:
        partitions = set(map(_topic_partition_of, messages))
        topics = {topic for topic, _ in partitions}
        attributes: dict[str, str | int] = {"messaging.consumer.group.name": self._group_id}
        if len(partitions) == 1:
            attributes["messaging.destination.partition.id"] = str(next(iter(partitions))[1])
        links = _links(links_of_batch, messages[: self._export.max_links])
        with self._span("process", SpanKind.CONSUMER, topics, len(messages), attributes, links) as span:
            yield _OpenTelemetryBatchSpan(span, self._commits)

    @override
    @contextmanager
    def transaction(self, messages: Sequence[Outgoing]) -> Iterator[None]:
        topics = set(map(_topic_of, messages))
        links = _links(links_of_transaction, messages[: self._export.max_links])
        parent = self._commits.context_of(messages)
        # Not PRODUCER: subscribers continue the traces of the senders, see docs/design.md.
        with self._span("send", SpanKind.CLIENT, topics, len(messages), {}, links, parent):
            yield

    @contextmanager
    def _span(
        self,
        operation: str,
        kind: SpanKind,
        topics: set[str],
        count: int,
        attributes: Mapping[str, str | int],
        links: Sequence[Link],
        parent: Context | None = None,
    ) -> Iterator[Span]:
        """Record an operation as the current span. Without a `parent` it is the root of a trace."""
        destination = {"messaging.destination.name": next(iter(topics))} if len(topics) == 1 else {}
        common: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.batch.message_count": count,
        }
        with self._tracer.start_as_current_span(
            " ".join((operation, *destination.values())),
            context=parent,
            kind=kind,
            attributes={**common, **destination, **attributes},
            links=links,
            record_exception=False,  # it would quote the message, and its cause is logged
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                _fail(span, error)
                raise

    @override
    async def close(self) -> None:
        await self._export.close()


class _OpenTelemetryBatchSpan(BatchSpan):
    def __init__(self, span: Span, commits: _Commits) -> None:
        self._span = span
        self._commits = commits

    @override
    def commit(self, result: BatchResult, messages: Sequence[Outgoing], attempts: int) -> None:
        counts = {**result.outcomes, "replayed": result.replayed, "attempts": attempts}
        self._span.set_attributes({f"customer_worker.batch.{name}": count for name, count in counts.items()})
        self._commits.add(messages, self._span.get_span_context())

    @override
    def fail(self, error: BaseException) -> None:
        _fail(self._span, error)


class _Commits:
    """The spans of the last batches, and the records that each led to.

    A transaction with exactly these records is part of the trace of the batch. The others, as after a restart, have
    traces of their own.
    """

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, int], SpanContext] = {}

    def add(self, messages: Sequence[Outgoing], context: SpanContext) -> None:
        if messages:
            self._contexts[messages[0].id, len(messages)] = context
        if len(self._contexts) > COMMITS_KEPT:
            del self._contexts[next(iter(self._contexts))]

    def context_of(self, messages: Sequence[Outgoing]) -> Context:
        found = self._contexts.get((messages[0].id, len(messages))) if messages else None
        return Context() if found is None else set_span_in_context(NonRecordingSpan(found), Context())


def _links(links_of: Callable[[T], list[Link]], messages: T) -> list[Link]:
    """Return the links of these messages. An error costs the links, never the batch."""
    try:
        return links_of(messages)
    except Exception as error:
        log.exception("senders not linked", error=described(error))
        return []


def _fail(span: Span, error: BaseException) -> None:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    span.set_attribute("error.type", name)
    span.set_status(StatusCode.ERROR, described(error))


def current_ids() -> Mapping[str, str]:
    """Return the ids of the current span as fields of a log line; none outside of a sampled span."""
    context = get_current_span().get_span_context()
    if not context.trace_flags.sampled:
        return {}
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}
