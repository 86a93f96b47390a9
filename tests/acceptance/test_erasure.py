"""A tombstone on `customer.churned` erases a customer's event: it is not published again, and reconcile shows it."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from tests.support.kafka.cluster import Kafka
from tests.support.kafka.configuring import configure
from tests.support.leaving import events, lives, people, put
from tests.support.operating import answer, said
from tests.support.reader import read_committed
from tests.support.records import Record
from tests.support.stage import Stage, delete_store
from tests.support.worker_process import KILLED, WorkerProcess

pytestmark = pytest.mark.timeout(120)
ADA, BOB, EVE = people(3, 0xABC)


def test_compacted_event_stays_erased_after_a_rebuild(stage: Stage, kafka: Kafka) -> None:
    played(stage, [ADA, BOB])
    put(stage, ADA, None)
    compact(stage, kafka, lambda: [record.value for record in on_topic(stage, ADA)] == [None])
    delete_store(stage)
    run(stage, records=4)
    assert [record.value for record in on_topic(stage, ADA)] == [None]
    assert len(on_topic(stage, BOB)) == 1
    books = answer(stage, "reconcile")
    assert {account: books["total"][account]["count"] for account in ("customers", "events", "topic", "erased")} == {
        "customers": 2, "events": 2, "topic": 1, "erased": 1,
    }  # fmt: skip
    [event] = [step["event"] for step in answer(stage, "explain", ADA)["steps"] if step["event_id"]]
    assert event["note"].startswith("erased by the tombstone at offset ")
    assert "2 customers have a tombstone" in said(stage, "reconcile")


@pytest.mark.usefixtures("url")
def test_tombstone_on_postgresql_stands_for_an_event_to_come(stage: Stage) -> None:
    stage.create_topics(1)
    put(stage, ADA, None)
    stage.produce(lives([ADA, BOB]))
    run(stage, records=4)
    assert [record.value for record in on_topic(stage, ADA)] == [None]
    assert len(on_topic(stage, BOB)) == 1
    assert answer(stage, "reconcile")["total"]["erased"]["count"] == 1


def test_tombstone_between_commit_and_publishing_erases(stage: Stage) -> None:
    stage.create_topics(1)
    stage.produce(lives([ADA, BOB]))
    assert stage.start(FAILPOINT="before-publish").wait() == KILLED
    put(stage, ADA, None)
    run(stage, records=0)
    assert [record.value for record in on_topic(stage, ADA)] == [None]
    assert answer(stage, "reconcile")["total"]["erased"]["count"] == 1


def test_tombstones_that_erase_nothing_are_named(stage: Stage) -> None:
    stage.create_topics(2)
    put(stage, ADA.upper(), None)
    put(stage, "x", None)
    with aborted(stage) as producer:
        producer.produce(stage.topics.churned, None, BOB.encode())
    stage.produce(lives([ADA, BOB, EVE]))
    stage.run_to_the_end_of_the_topics()
    assert events(stage).keys() >= {ADA, BOB, EVE}
    event = events(stage)[EVE]
    put(stage, EVE, None, partition=1 - event.partition)
    books = answer(stage, "reconcile", code=1)
    assert (len(books["no_events"]), books["differences"], books["tombstones"]) == (2, [], 1)
    [ineffective] = books["ineffective_tombstones"]
    assert (ineffective["customer_id"], ineffective["event"]) == (EVE, "/".join(map(str, event.coordinates)))
    assert books["total"]["equal"]
    text = said(stage, "reconcile", code=1)
    assert "tombstone without effect" in text
    assert "3 differences" in text


def test_erased_rows_may_be_deleted_from_the_store(stage: Stage) -> None:
    played(stage, [ADA, BOB])
    assert answer(stage, "reconcile")["total"]["erased"]["count"] == 0
    put(stage, ADA, None)  # its event is still there: the topic was not compacted
    books = answer(stage, "reconcile")
    assert (books["total"]["topic"]["count"], books["total"]["erased"]["count"]) == (1, 1)
    with duckdb.connect(str(stage.store_file)) as store:
        store.execute("DELETE FROM customers WHERE customer_id = ?", [ADA]).fetchall()
        store.execute("DELETE FROM outbox WHERE customer_id = ?", [ADA]).fetchall()
    books = answer(stage, "reconcile")
    assert (books["total"]["topic"]["count"], books["total"]["erased"]["count"], books["tombstones"]) == (1, 0, 1)


def played(stage: Stage, who: list[str]) -> None:
    """Run a worker until it has published that these customers left, and stop it."""
    stage.create_topics(1)
    stage.produce(lives(who))
    stage.run_to_the_end_of_the_topics()


def run(stage: Stage, records: int) -> None:
    """Run a worker until it has read so many records, and published what comes of them."""
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read")
    worker.wait_until(lambda: taken(worker) >= records, "all read")
    assert worker.stop() == 0, worker.tail()


def taken(worker: WorkerProcess) -> int:
    """Return the number of records that the worker has committed."""
    return sum(int(str(batch["records"])) for batch in worker.events("batch applied"))


def on_topic(stage: Stage, who: str) -> list[Record]:
    """Return the records of this customer on `customer.churned`."""
    records = read_committed(stage.kafka.bootstrap_servers, stage.topics.churned)
    return [record for record in records if record.key == who.encode()]


def compact(stage: Stage, kafka: Kafka, done: Callable[[], bool]) -> None:
    """Let the broker compact `customer.churned`; its last record is another's, and stays as it is."""
    let_cleaner_run_at_once(kafka)
    for name in ("segment.ms", "max.compaction.lag.ms"):
        configure(kafka.bootstrap_servers, stage.topics.churned, name, "1")
    configure(kafka.bootstrap_servers, stage.topics.churned, "min.cleanable.dirty.ratio", "0.0")
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, "not compacted"
        put(stage, str(uuid.UUID(int=9)), None)  # which ends the segment before
        time.sleep(0.1)


def let_cleaner_run_at_once(kafka: Kafka) -> None:
    """Set how long the broker's log cleaner waits where there is nothing to clean: 15 s else."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    entry = ConfigEntry("log.cleaner.backoff.ms", "100", incremental_operation=AlterConfigOpType.SET)
    [broker, *_] = admin.list_topics(timeout=30).brokers
    resource = ConfigResource(ConfigResource.Type.BROKER, str(broker), incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)


@contextmanager
def aborted(stage: Stage) -> Iterator[Producer]:
    """Yield a producer whose transaction is aborted when the test ends."""
    settings = {"bootstrap.servers": stage.kafka.bootstrap_servers, "transactional.id": stage.name}
    producer = Producer(settings)
    producer.init_transactions(30)
    producer.begin_transaction()
    yield producer
    producer.flush(30)
    producer.abort_transaction(30)
