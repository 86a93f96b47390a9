"""Batches and transactions are spans by OpenTelemetry's semantic conventions for Kafka."""

from __future__ import annotations

import pytest
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import SpanKind, StatusCode

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    CHURNED,
    EVE,
    SIGNUPS,
    batch_path,
    cancellation,
    decoded,
    record,
    signup,
    signup_value,
)
from tests.support.semantic_conventions import require_conventions
from tests.support.spans import RecordedTracing, linked, traced, traceparent
from worker.messages.message import Message
from worker.messages.outgoing import Outgoing
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import StoreError
from worker.tracing import sender_contexts
from worker.tracing.opentelemetry_spans import COMMITS_KEPT, SCHEMA_URL, current_ids


def apply(tracing: RecordedTracing, store: DuckDBStore, messages: list[Message]) -> list[Outgoing]:
    """Commit a batch as the applier does; returns what is to be published."""
    with tracing.batch(messages) as span, UnitOfWork(store) as work:
        result = batch_path().apply(messages, work)
        committed = work.commit()
        span.commit(result, committed.messages, attempts=1)
    return list(committed.messages)


def published(number: int) -> list[Outgoing]:
    return [Outgoing(f"event-{number}", CHURNED, None, None, b"{}", [], ADA)]


def test_batch_is_a_process_span(store: DuckDBStore) -> None:
    tracing = RecordedTracing()
    apply(tracing, store, decoded(signup(0), signup(1), signup(2, BOB), record(b"{}", offset=3)))
    span = tracing.span
    assert (span.name, span.kind, span.parent) == (f"process {SIGNUPS}", SpanKind.CONSUMER, None)
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.batch.message_count": 4,
        "messaging.destination.name": SIGNUPS,
        "messaging.destination.partition.id": "0",
        "messaging.consumer.group.name": "the-group",
        "customer_worker.batch.applied": 2,
        "customer_worker.batch.duplicate": 1,
        "customer_worker.batch.rejected": 1,
        "customer_worker.batch.replayed": 0,
        "customer_worker.batch.attempts": 1,
    }


def test_batch_of_both_topics_names_neither(store: DuckDBStore) -> None:
    tracing = RecordedTracing()
    apply(tracing, store, decoded(signup(0), cancellation(0)))
    assert tracing.span.name == "process"
    assert not [name for name in tracing.span.attributes or () if name.startswith("messaging.destination.")]


def test_batch_of_several_partitions_names_the_topic_alone(store: DuckDBStore) -> None:
    tracing = RecordedTracing()
    apply(tracing, store, decoded(signup(0), record(signup_value(BOB), partition=1)))
    assert tracing.span.name == f"process {SIGNUPS}"
    assert "messaging.destination.partition.id" not in (tracing.span.attributes or {})


def test_spans_follow_the_official_conventions(store: DuckDBStore) -> None:
    tracing = RecordedTracing()
    messages = apply(tracing, store, decoded(signup(0), cancellation(0), signup(1, BOB)))
    with tracing.transaction(messages), tracing.batch(decoded(signup(2))) as span:
        span.fail(StoreError("the disk is full"))
    assert len(tracing.spans) == 3
    for each in tracing.spans:
        require_conventions(each.kind, each.attributes or {})
    newest = {name: value for name, value in vars(Schemas).items() if name.startswith("V")}
    assert SCHEMA_URL in {schema.value for schema in newest.values()}


def test_batch_is_linked_with_its_first_records(store: DuckDBStore) -> None:
    tracing = RecordedTracing(max_links=2)
    apply(tracing, store, decoded(*(record(signup_value(), offset=n, headers=traced(n + 1)) for n in range(4))))
    assert linked(tracing.span.links) == [traceparent(1), traceparent(2)]


def test_failure_to_link_costs_the_links_alone(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    tracing = RecordedTracing()
    monkeypatch.setattr(sender_contexts, "decode", lambda _: 1 / 0)
    messages = apply(tracing, store, decoded(signup(0), cancellation(0)))
    with tracing.transaction(messages):
        pass
    assert [len(span.links) for span in tracing.spans] == [0, 0]


def test_batch_that_is_not_committed_is_an_error() -> None:
    tracing = RecordedTracing()
    with tracing.batch(decoded(signup(0))) as span:
        span.fail(ValueError(f"cannot convert {ADA}"))
    assert tracing.span.status.status_code is StatusCode.ERROR
    assert tracing.span.attributes is not None
    assert tracing.span.attributes["error.type"] == "ValueError"
    assert ADA not in tracing.span.to_json()


def test_transaction_is_a_send_span_of_the_trace_of_its_batch(store: DuckDBStore) -> None:
    tracing = RecordedTracing()
    headers = traced(7)
    records = [signup(0), record(cancellation(0).value, CANCELLATIONS, headers=headers)]
    messages = apply(tracing, store, decoded(*records))
    with tracing.transaction(messages):
        pass
    batch, sending = tracing.spans
    assert (sending.name, sending.kind) == (f"send {CHURNED}", SpanKind.CLIENT)
    assert sending.parent == batch.get_span_context()
    assert linked(sending.links) == [traceparent(7)]
    assert sending.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 1,
        "messaging.destination.name": CHURNED,
    }


def test_transaction_with_other_records_has_its_own_trace(store: DuckDBStore) -> None:
    tracing = RecordedTracing()
    messages = apply(tracing, store, decoded(signup(0), cancellation(0)))
    with tracing.transaction([*messages, *published(1)]):
        pass
    assert tracing.spans[-1].parent is None


def test_only_the_last_batches_are_remembered() -> None:
    tracing = RecordedTracing()
    for number in range(COMMITS_KEPT + 1):
        with tracing.batch(decoded(signup(0, EVE))) as span:
            span.commit(batch_path().give_up([], None), published(number), attempts=1)  # type: ignore[arg-type]
    for number in (0, COMMITS_KEPT):
        with tracing.transaction(published(number)):
            pass
    forgotten, remembered = tracing.spans[-2:]
    assert forgotten.parent is None
    assert remembered.parent is not None


def test_failed_transaction_is_an_error() -> None:
    tracing = RecordedTracing()
    with pytest.raises(TimeoutError), tracing.transaction(published(1)):
        raise TimeoutError("no answer")
    assert (tracing.span.status.status_code, tracing.span.status.description) == (StatusCode.ERROR, "no answer in time")
    assert tracing.span.attributes is not None
    assert tracing.span.attributes["error.type"] == "TimeoutError"
    assert not tracing.span.events


def test_current_span_is_named_in_the_log() -> None:
    tracing = RecordedTracing()
    assert current_ids() == {}
    with tracing.batch(decoded(signup(0))):
        named = current_ids()
    context = tracing.span.get_span_context()
    assert context is not None
    assert named == {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    assert current_ids() == {}
