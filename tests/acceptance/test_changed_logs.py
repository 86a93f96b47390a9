"""An input log that changes under its worker: deleted records, a recreated topic, a truncated log."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.support.builders import signup_value
from tests.support.kafka.cluster import wait_until_ready
from tests.support.kafka.local import LocalKafka, LocalNode, local_kafka
from tests.support.reader import partitions_of
from tests.support.records import Message
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(180)
REFUSED = 70
ALLOWED = "CUSTOMER_WORKER_SAFETY__ALLOW_LOST_RECORDS=true"
FETCH_WAIT_SECONDS = 0.5
"""For how long a broker lets a fetch wait for records (`fetch.max.wait.ms`)."""
READ = 10
"""How many signups the worker has read before the ground changes."""


def signups(count: int, seed: int) -> list[Message]:
    """First signups, each of another customer."""
    ids = [str(UUID(int=1000 * seed + number)) for number in range(count)]
    return [Message("signup", customer_id.encode(), signup_value(customer_id), partition=0) for customer_id in ids]


@pytest.fixture
def ready(stage: Stage) -> Stage:
    """Prepare a stage with one partition a topic and ten signups on it."""
    stage.create_topics(1)
    stage.produce(signups(READ, seed=1))
    return stage


def start_and_read(stage: Stage) -> WorkerProcess:
    worker = stage.start(LOG__FORMAT="json")
    stage.wait_until_consumed(worker)
    return worker


def freeze_without_fetches(worker: WorkerProcess) -> None:
    """Freeze the worker, and let the fetches expire that wait at the broker: they would still bring records."""
    worker.freeze()
    time.sleep(2 * FETCH_WAIT_SECONDS)  # nothing shows when they have


def delete_records(stage: Stage, before: int) -> None:
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    for done in admin.delete_records([TopicPartition(stage.topics.signup, 0, before)]).values():
        done.result(30)


def recreate_topic(stage: Stage) -> None:
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    admin.delete_topics([stage.topics.signup])[stage.topics.signup].result(30)
    while stage.topics.signup in admin.list_topics(timeout=10).topics:
        pass
    admin.create_topics([NewTopic(stage.topics.signup, 1, 1)])[stage.topics.signup].result(30)


def refusal(worker: WorkerProcess) -> str:
    """Return the reason that the worker gave for stopping."""
    assert worker.wait() == REFUSED, worker.tail()
    [stopped] = worker.events("stopped for safety")
    return str(stopped["reason"])


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "stopped"])
def test_deleted_records_are_refused_and_named(ready: Stage, is_running: bool) -> None:
    worker = start_and_read(ready)
    if is_running:
        freeze_without_fetches(worker)
    else:
        assert worker.stop() == 0
    ready.produce(signups(50, seed=2))
    delete_records(ready, before=50)
    if is_running:
        worker.thaw()
    else:
        worker = ready.start(LOG__FORMAT="json")
    why = refusal(worker)
    assert "begins at offset 50" in why
    assert "the 40 records between were deleted before they were read" in why
    assert ALLOWED in why
    assert len(ready.store().customers) == READ


def test_deleted_records_are_skipped_when_allowed(ready: Stage) -> None:
    worker = ready.start(LOG__FORMAT="json", SAFETY__ALLOW_LOST_RECORDS="true")
    ready.wait_until_consumed(worker)
    freeze_without_fetches(worker)
    ready.produce(signups(50, seed=2))
    delete_records(ready, before=50)
    worker.thaw()
    ready.wait_until_consumed(worker)
    assert worker.stop() == 0, worker.tail()
    assert len(ready.store().customers) == READ + 10


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("count", [5, 15], ids=["fewer", "more"])
def test_recreated_topic_is_refused(ready: Stage, is_running: bool, count: int) -> None:
    worker = start_and_read(ready)
    if not is_running:
        assert worker.stop() == 0
    recreate_topic(ready)
    ready.produce(signups(count, seed=2))
    if not is_running:
        worker = ready.start(LOG__FORMAT="json")
    why = refusal(worker)
    assert f"{ready.topics.signup}/0" in why
    assert "deleted and created again" in why
    assert ALLOWED in why
    again = ready.start(LOG__FORMAT="json")
    assert "deleted and created again" in refusal(again), "a restart alone must not accept it"


def test_recreated_topic_is_not_read_between_comparisons(ready: Stage) -> None:
    worker = ready.start([sys.executable, "-m", "tests.acceptance.rarely_watching_worker", "run"], LOG__FORMAT="json")
    ready.wait_until_consumed(worker)
    freeze_without_fetches(worker)  # else the group would rebalance at the deletion, and that compares, too
    recreate_topic(ready)
    ready.produce(signups(15, seed=2))
    worker.thaw()
    assert "deleted and created again" in refusal(worker)
    assert len(ready.store().customers) == READ


def test_recreated_topic_is_read_from_its_start_when_allowed(ready: Stage) -> None:
    assert start_and_read(ready).stop() == 0
    recreate_topic(ready)
    ready.produce(signups(15, seed=2))
    worker = ready.start(LOG__FORMAT="json", SAFETY__ALLOW_LOST_RECORDS="true")
    ready.wait_until_consumed(worker)
    assert worker.stop() == 0, worker.tail()
    assert len(ready.store().customers) == READ + 15
    worker = ready.start(LOG__FORMAT="json")
    worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
    assert worker.stop() == 0, "the decision was not kept"


class RestorableBroker:
    """One broker whose disk can be set back to an earlier copy."""

    def __init__(self, kafka: LocalKafka, copy: Path) -> None:
        self.kafka = kafka
        [node] = kafka.nodes
        assert isinstance(node, LocalNode)
        self._node = node
        self._copy = copy

    def copy(self, topics: Sequence[str]) -> None:
        self._node.stop()
        shutil.copytree(self._node.data, self._copy)
        self._start(topics)

    def restore(self, topics: Sequence[str]) -> None:
        self._node.stop()
        shutil.rmtree(self._node.data)
        shutil.copytree(self._copy, self._node.data)
        self._start(topics)

    def _start(self, topics: Sequence[str]) -> None:
        """Start the broker, and wait until it serves these topics."""
        self._node.restart()
        wait_until_ready(self.kafka.bootstrap_servers)
        partitions_of(AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0}), topics)


class Truncation(NamedTuple):
    """A log cut to five of ten records, all of them read, and written again with `records` others.

    The worker is frozen meanwhile, or stopped.
    """

    is_running: bool
    records: int


TRUNCATIONS = {
    "running, below the position": Truncation(is_running=True, records=3),
    "running, beyond the position": Truncation(is_running=True, records=20),
    "stopped, below the position": Truncation(is_running=False, records=3),
    "stopped, beyond the position": Truncation(is_running=False, records=20),
}


@pytest.fixture(scope="module")
def truncated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Truncation, Stage]]:
    """Yield a stage for each truncation, all on one broker, whose disk was set back once for all of them."""
    with ExitStack() as cleanup:
        kafka = cleanup.enter_context(local_kafka(1))
        broker = RestorableBroker(kafka, tmp_path_factory.mktemp("broker") / "copy")
        stages = {each: Stage(kafka, tmp_path_factory.mktemp("stage")) for each in TRUNCATIONS.values()}
        topics = [topic for stage in stages.values() for topic in stage.topics.inputs]
        for stage in stages.values():
            cleanup.callback(stage.close)
            stage.create_topics(1)
            stage.produce(signups(5, seed=1))
        broker.copy(topics)
        for truncation, stage in stages.items():
            stage.produce(signups(5, seed=2))
            worker = start_and_read(stage)
            if truncation.is_running:
                worker.freeze()
            else:
                assert worker.stop() == 0
        broker.restore(topics)
        for truncation, stage in stages.items():
            stage.produce(signups(truncation.records, seed=3))
        yield stages


@pytest.mark.parametrize("truncation", TRUNCATIONS.values(), ids=TRUNCATIONS)
def test_truncated_log_is_refused(truncated: dict[Truncation, Stage], truncation: Truncation) -> None:
    stage = truncated[truncation]
    [worker] = stage.workers
    if truncation.is_running:
        worker.thaw()
    else:
        worker = stage.start(LOG__FORMAT="json")
    why = refusal(worker)
    assert f"{stage.topics.signup}/0" in why
    assert ("truncated and written again" if truncation.records > 5 else "ends at offset 8") in why
    assert ALLOWED in why
    assert len(stage.store().customers) == READ
