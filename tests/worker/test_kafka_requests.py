"""Failed requests to Kafka are counted by operation and cause; successes have their time."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
)
from faststream.kafka import KafkaBroker

from tests.support.builders import SIGNUPS
from worker.consumer import input_watch
from worker.consumer.assignment import Assignment
from worker.consumer.input_watch import InputWatch
from worker.consumer.offset_commits import OffsetCommits
from worker.consumer.poll_monitor import Polling
from worker.metrics.counters import Metrics
from worker.metrics.kafka_requests import KafkaRequests, failure_cause
from worker.outbox.failures import Failures
from worker.outbox.publish_errors import CannotPublish, Kind
from worker.settings import Kafka, Settings, Topics
from worker.stores.errors import StoreError


def failures(requests: KafkaRequests) -> dict[tuple[str, str], float]:
    """Return the counts other than 0, by operation and cause."""
    counted, _ = requests.families()
    return {
        (each.labels["operation"], each.labels["cause"]): each.value
        for each in counted.samples
        if each.name.endswith("_total") and each.value
    }


def last_success(requests: KafkaRequests) -> dict[str, float]:
    _, times = requests.families()
    return {each.labels["operation"]: each.value for each in times.samples}


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TopicAuthorizationFailedError("customer.signup"), "authorization"),
        (GroupAuthorizationFailedError("group"), "authorization"),
        (TimeoutError(), "timeout"),
        (KafkaTimeoutError(), "timeout"),
        (KafkaConnectionError(), "unreachable"),
        (ConnectionRefusedError(), "unreachable"),
        (KafkaError(), "other"),
    ],
    ids=repr,
)
def test_failures_have_a_cause(error: Exception, cause: str) -> None:
    assert failure_cause(error) == cause


class Group:
    """A group that refuses the first commit."""

    def __init__(self) -> None:
        self.answers: list[Exception | None] = [CommitFailedError(), None]

    async def commit(self, _: Any) -> None:
        if error := self.answers.pop(0):
            raise error


def test_refused_offset_commit_is_counted() -> None:
    requests, group = KafkaRequests(), Group()
    offsets = OffsetCommits(requests)
    offsets.start(TopicPartition(SIGNUPS, 0), 1, stored=1)
    assert not asyncio.run(offsets.commit(cast("Any", group)))
    assert failures(requests) == {("commit_offsets", "other"): 1}
    assert last_success(requests) == {}
    began = time.time()
    assert asyncio.run(offsets.commit(cast("Any", group)))
    assert last_success(requests)["commit_offsets"] >= began


def test_failed_poll_is_counted() -> None:
    async def getmany(**_: Any) -> None:
        raise KafkaConnectionError

    async def poll() -> None:
        assignment = SimpleNamespace(is_set=asyncio.Event())
        assignment.is_set.set()
        subscriber = KafkaBroker().subscriber(SIGNUPS, batch=True)
        Polling(cast("Assignment", assignment), list[Exception]().append, requests).watch(subscriber)
        await subscriber.get_msg(cast("Any", SimpleNamespace(getmany=getmany)))

    requests = KafkaRequests()
    with pytest.raises(KafkaConnectionError):
        asyncio.run(poll())
    assert failures(requests) == {("poll", "unreachable"): 1}


def test_failed_look_at_the_topics_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [TimeoutError(), None]

    async def describe(*_: Any) -> dict[str, Any]:
        if error := answers.pop(0):
            raise error
        return {}

    monkeypatch.setattr(input_watch, "describe_topics", describe)
    requests = KafkaRequests()
    watch = InputWatch(Settings(), cast("Any", None), cast("Any", None), lambda: False, requests)
    assert asyncio.run(watch._describe(cast("Any", None))) is None
    assert failures(requests) == {("describe_topics", "timeout"): 1}
    assert asyncio.run(watch._describe(cast("Any", None))) == {}
    assert last_success(requests).keys() == {"describe_topics"}


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (KafkaConnectionError(), {("publish", "unreachable"): 1}),
        (CannotPublish("WRITE is missing", Kind.AUTHORIZATION), {("publish", "authorization"): 1}),
        (StoreError("the disk is full"), {}),
    ],
    ids=repr,
)
def test_failure_to_publish_is_counted(error: Exception, counted: dict[tuple[str, str], float]) -> None:
    metrics = Metrics(Topics())
    Failures(Kafka(), metrics).add(error)
    assert failures(metrics.kafka) == counted


def test_success_of_a_transaction_has_its_time() -> None:
    metrics = Metrics(Topics())
    began = time.time()
    metrics.published([], 0.1)
    assert last_success(metrics.kafka)["publish"] >= began
