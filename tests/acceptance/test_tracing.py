"""Spans of a real worker, received over OTLP: one per batch and per transaction, linked with the senders' contexts."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.trace import SpanKind

from tests.support.builders import cancellation_value, customer_id, signup_value
from tests.support.kafka.local import free_ports
from tests.support.otlp_receiver import ReceivedSpan, Receiver, receiving
from tests.support.records import Message
from tests.support.semantic_conventions import require_conventions
from tests.support.spans import traced, traceparent
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(180)
CUSTOMERS = 20
STOP_SECONDS = 5.0
"""Less than a request to a frozen receiver may take."""


def signups(count: int) -> list[Message]:
    ids = [customer_id(number) for number in range(count)]
    return [Message("signup", None, signup_value(who), tuple(traced(n + 1)), 0) for n, who in enumerate(ids)]


def cancellations(count: int) -> list[Message]:
    ids = [customer_id(number) for number in range(count)]
    return [
        Message("cancellation", None, cancellation_value(who), tuple(traced(n + 1_001)), 0) for n, who in enumerate(ids)
    ]


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Receive the spans of workers that are started after this."""
    with receiving(tmp_path) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        yield receiver


def test_batches_and_transactions_are_spans(stage: Stage, receiver: Receiver) -> None:
    stage.create_topics()
    worker = stage.start(LOG__FORMAT="json")
    stage.produce(signups(CUSTOMERS))
    stage.wait_until_consumed(worker)
    stage.produce([*cancellations(CUSTOMERS), Message("signup", None, b"no JSON", tuple(traced(2_001)), 0)])
    stage.finish(worker)
    wanted = stage.require_as_expected()  # events have the contexts of their senders, byte for byte
    batches = [each for each in receiver.spans if each.span.name.startswith("process")]
    sending = [each for each in receiver.spans if each.span.name.startswith("send")]
    assert len(batches) + len(sending) == len(receiver.spans)
    _require_span_per_batch(worker, batches)
    sent = {traceparent(number) for number in (*range(1, CUSTOMERS + 1), 2_001)}
    carried_on = {traceparent(number) for number in range(1_001, 1_001 + CUSTOMERS)}
    assert _links(batches) == sent | carried_on
    assert _links(sending) == {*carried_on, traceparent(2_001)}
    assert _messages(batches) == len(wanted.outcomes)
    assert _messages(sending) == len(wanted.events) + len(wanted.dead_letters)
    assert {each.span.parent_span_id for each in sending} <= {each.span.span_id for each in batches}
    for each in receiver.spans:
        require_conventions(SpanKind(each.span.kind - 1), each.attributes)  # the protocol has UNSPECIFIED before
        assert each.resource["service.name"] == "customer-worker"
        assert each.resource["deployment.environment.name"] == "test"
        assert customer_id(1)[-12:] not in str(each.attributes)
    of_signups = receiver.named(f"process {stage.topics.signup}")
    assert {each.attributes["messaging.consumer.group.name"] for each in of_signups} == {stage.group}
    assert {each.attributes["messaging.destination.partition.id"] for each in of_signups} == {"0"}
    assert receiver.named(f"send {stage.topics.churned}") or receiver.named("send")


def _require_span_per_batch(worker: WorkerProcess, batches: Sequence[ReceivedSpan]) -> None:
    """Raise `AssertionError` unless the line of each batch names its span."""
    logged = [(line["trace_id"], line["span_id"]) for line in worker.events("batch applied")]
    assert logged
    assert sorted(logged) == sorted((each.span.trace_id.hex(), each.span.span_id.hex()) for each in batches)


def _links(spans: Sequence[ReceivedSpan]) -> set[str]:
    return set().union(*(each.links for each in spans))


def _messages(spans: Sequence[ReceivedSpan]) -> int:
    return sum(each.attributes["messaging.batch.message_count"] for each in spans)


@contextmanager
def frozen_receiver() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def absent_receiver() -> Iterator[str]:
    yield f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.mark.parametrize("receiver", [frozen_receiver, absent_receiver])
def test_worker_works_and_stops_without_its_receiver(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, receiver: object
) -> None:
    assert callable(receiver)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    stage.create_topics()
    with receiver() as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        worker = stage.start(LOG__FORMAT="json")
        stage.produce([*signups(500), *cancellations(500)])
        stage.wait_until_consumed(worker)
        stage.wait_until_published(worker)
        began = time.monotonic()
        assert worker.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS
    stage.require_as_expected()
    assert len(worker.events("spans not exported")) == 1
    assert worker.events("stopped")
    assert not worker.events("stop step unfinished")
    assert not worker.errors()
