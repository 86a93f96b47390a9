"""Unreadable inputs and groups: not ready with the reason, growing lag, and recovery without a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from tests.acceptance.test_health import unwell
from tests.acceptance.test_http import get, url_of
from tests.acceptance.test_metrics import Scraped
from tests.support.builders import signup_value
from tests.support.kafka.secured import DESCRIBE, GROUP, READ, TOPIC, SecuredKafka, least_rights
from tests.support.operating import answer, serve
from tests.support.records import Message
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(180)
LIMIT_S = 30.0


class Scene:
    """A worker with the least rights, ready, on topics of one partition."""

    def __init__(self, secured: SecuredKafka, directory: Path) -> None:
        self.secured = secured
        self.stage = Stage(secured.kafka, directory)
        self.stage.create_topics(1)
        self.stage.settings |= secured.settings | {"LOG__FORMAT": "json"}
        serve(self.stage)
        topics = self.stage.topics
        secured.allow(*least_rights(topics.inputs, (topics.churned, *topics.dead_letters), self.stage.group))
        self.worker = self.start()
        self.sent = 0

    def start(self) -> WorkerProcess:
        worker = self.stage.start()
        self.url = url_of(worker)
        self.worker = worker
        self.until(self.is_ready, "ready")
        return worker

    def send(self, count: int) -> None:
        ids = [str(UUID(int=self.sent + number)) for number in range(count)]
        self.sent += count
        messages = [Message("signup", each.encode(), signup_value(each), partition=0) for each in ids]
        self.stage.produce(messages)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        self.worker.wait_until(condition, what, LIMIT_S)

    def is_ready(self) -> bool:
        return get(f"{self.url}/readyz")[0] == 200

    def reason(self, check: str) -> str:
        """Return the problem that one check reports; empty if there is none."""
        checks = json.loads(get(f"{self.url}/readyz?verbose")[1])["checks"]
        return next(str(each) for each in checks if each["name"] == check) if check in unwell(self.url) else ""

    def value(self, name: str) -> float:
        """Return the value of a metric of the signups' partition or topic."""
        return Scraped(self.url).value(f"customer_worker_{name}", topic=self.stage.topics.signup)

    def applied(self) -> float:
        return Scraped(self.url).value(
            "customer_worker_events_total", topic=self.stage.topics.signup, outcome="applied"
        )


@pytest.fixture
def scene(secured_kafka: SecuredKafka, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(secured_kafka, tmp_path)
    scene.send(3)
    scene.until(lambda: scene.applied() == 3 and scene.value("lag_records") == 0, "read")
    yield scene
    scene.stage.close()


def test_revoked_topic_is_not_ready_and_its_lag_grows(scene: Scene) -> None:
    topic = scene.stage.topics.signup
    scene.secured.revoke((TOPIC, topic, READ))
    scene.until(lambda: f"{topic}: the right READ" in scene.reason("inputs"), "not ready")
    assert unwell(scene.url) == {"inputs"}
    assert scene.value("input_readable") == 0
    scene.until(lambda: scene.value("lag_seconds") > 2, "behind in time")
    assert scene.value("lag_records") == 0
    scene.secured.allow((TOPIC, topic, DESCRIBE))
    scene.send(5)
    scene.until(lambda: scene.value("lag_records") == 5, "behind in records")
    assert unwell(scene.url) == {"inputs"}
    scene.secured.allow((TOPIC, topic, READ))
    scene.until(lambda: scene.is_ready() and scene.applied() == 8, "ready again")
    scene.until(lambda: scene.value("lag_records") == 0 == scene.value("lag_seconds"), "all read")
    assert scene.worker.stop() == 0


def test_deleted_topic_is_not_ready_and_keeps_its_lag(scene: Scene) -> None:
    topic = scene.stage.topics.signup
    admin = AdminClient({"bootstrap.servers": scene.stage.kafka.bootstrap_servers, "log_level": 0})
    admin.delete_topics([topic])[topic].result(30)
    scene.until(lambda: "the topic does not exist" in scene.reason("inputs"), "not ready")
    assert scene.value("input_readable") == 0
    scene.until(lambda: scene.value("lag_seconds") > 2, "behind in time")
    assert scene.value("lag_records") == 0
    assert answer(scene.stage, "status")["inputs"]["unreadable"] == {topic: "the topic does not exist"}


def test_revoked_group_is_not_ready(scene: Scene) -> None:
    group = (GROUP, scene.stage.group, READ)
    scene.secured.revoke(group)
    scene.until(lambda: f"the right READ on the group {scene.stage.group}" in scene.reason("group"), "not ready")
    scene.secured.allow(group)
    scene.until(scene.is_ready, "ready again")
    scene.send(2)
    scene.stage.wait_until_consumed(scene.worker, LIMIT_S)
    assert scene.stage.members() == 1
    assert "Traceback" not in scene.worker.said()
    assert scene.worker.stop() == 0


def test_foreign_member_is_named_and_leaves_no_gap(scene: Scene) -> None:
    foreign = Consumer(
        {
            "bootstrap.servers": scene.stage.kafka.bootstrap_servers,
            "group.id": scene.stage.group,
            "group.protocol": "consumer",
            "client.id": "somebody-else",
            "auto.offset.reset": "earliest",
        }
    )
    foreign.subscribe([scene.stage.topics.signup])
    try:
        scene.until(lambda: "somebody-else at 127.0.0.1" in scene.reason("group"), "not ready")
        scene.until(lambda: foreign.poll(0.1) is None and bool(foreign.assignment()), "taken over")
        scene.send(4)
        taken = [foreign.poll(LIMIT_S) for _ in range(4)]
        assert all(record is not None and record.error() is None for record in taken)
        foreign.commit(asynchronous=False)
        scene.until(lambda: scene.value("lag_records") == 4, "behind")
        assert "group" in unwell(scene.url)
    finally:
        foreign.close()
    scene.until(lambda: scene.is_ready() and scene.applied() == scene.sent, "all read")
    assert scene.worker.stop() == 0


def test_transaction_markers_are_no_lag(scene: Scene) -> None:
    stage = scene.stage
    producer = Producer({"bootstrap.servers": stage.kafka.bootstrap_servers, "transactional.id": stage.name})
    producer.init_transactions(30)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for _ in range(3):
            producer.produce(stage.topics.signup, b"no json", partition=0)
        producer.flush(30)
        end(30)
    log_end = 3 + 2 * (3 + 1)
    scene.until(lambda: stage.committed().get((stage.topics.signup, 0)) == log_end, "committed past the markers")
    assert scene.value("lag_records") == 0
    [lag] = [each for each in answer(stage, "status")["inputs"]["partitions"] if each["topic"] == stage.topics.signup]
    assert (lag["position"], lag["end"], lag["lag"]) == (6, log_end, 0)
    assert scene.worker.stop() == 0
    scene.start()
    scene.send(1)
    scene.until(lambda: scene.applied() == 1, "read on from the store's position")
    assert scene.worker.stop() == 0
