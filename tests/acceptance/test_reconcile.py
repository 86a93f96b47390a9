"""`reconcile` with equal contents, with pending events, and with differences."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.kafka.cluster import Kafka
from tests.support.kafka.configuring import configure
from tests.support.leaving import events, lives, people, put
from tests.support.operating import answer, cache, ends, run, said, serve, store_bytes
from tests.support.producing import raw_producer
from tests.support.records import Message
from tests.support.stage import Stage
from tests.support.worker_process import KILLED, WorkerProcess

pytestmark = pytest.mark.timeout(240)
FIRST, SECOND = "2026-06-29", "2026-06-30"
NOBODY = {"count": 0, "lost_arr": "0.00"}


def played(stage: Stage, messages: list[Message]) -> None:
    """Run a worker until it has read these messages and published all that results from them, and stop it."""
    stage.create_topics()
    stage.produce(messages)
    stage.run_to_the_end_of_the_topics()


@pytest.fixture(scope="module")
def two_lives(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two customers whose events are published, for tests that add records to `customer.churned` only."""
    stage = Stage(kafka, tmp_path_factory.mktemp("two-lives"))
    played(stage, lives(people(2)))
    yield stage
    stage.close()


def make_anew(stage: Stage, records: Mapping[int, int], value: bytes) -> None:
    """Delete `customer.churned` and create it again, as an operator might, with so many records in each partition."""
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    admin.delete_topics([stage.topics.churned])[stage.topics.churned].result(30)
    deadline = time.monotonic() + 30
    while stage.topics.churned in admin.list_topics(timeout=30).topics:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stage.create_topics()
    producer = raw_producer(stage.kafka.bootstrap_servers)
    for partition, count in records.items():
        for _ in range(count):
            producer.produce(stage.topics.churned, value, b"x", partition=partition)
    assert producer.flush(30) == 0


def delete_first(stage: Stage, partition: int) -> None:
    """Delete the first record of a partition of `customer.churned`, as an operator might, once its policy allows it."""
    topic = stage.topics.churned
    configure(stage.kafka.bootstrap_servers, topic, "cleanup.policy", "delete")
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    [deleted] = admin.delete_records([TopicPartition(topic, partition, 1)]).values()
    assert deleted.result(30).low_watermark == 1


def change(stage: Stage, statement: str, *parameters: str) -> None:
    """Somebody else writes to the stopped worker's store."""
    with duckdb.connect(str(stage.store_file)) as connection:
        connection.execute(statement, list(parameters)).fetchall()


def differences(stage: Stage, *options: str) -> dict[str, str]:
    """Return the differences by customer; the command must end with 1."""
    found = answer(stage, "reconcile", *options, code=1)["differences"]
    return {each["customer_id"]: each["what"] for each in found}


def test_customers_outbox_and_topic_are_equal_by_day(stage: Stage) -> None:
    played(stage, lives(people(3), FIRST) + lives(people(2, 1), SECOND, "83.333333"))
    before = (ends(stage), store_bytes(stage))
    books = answer(stage, "reconcile")
    first, second = {"count": 3, "lost_arr": "3600.00"}, {"count": 2, "lost_arr": "2000.00"}
    none = {"erased": NOBODY, "pending": NOBODY}
    assert books["days"] == [
        {"day": FIRST, **dict.fromkeys(("customers", "events", "topic"), first), **none, "equal": True},
        {"day": SECOND, **dict.fromkeys(("customers", "events", "topic"), second), **none, "equal": True},
    ]
    assert (books["equal"], books["differences"], books["no_events"]) == (True, [], [])
    assert books["total"]["topic"] == {"count": 5, "lost_arr": "5600.00"}
    printed = said(stage, "reconcile", "--days")
    assert "$5,600.00" in printed
    assert "Equal." in printed
    assert (ends(stage), store_bytes(stage)) == before, "to reconcile changes nothing"


def test_only_the_requested_days_are_compared(stage: Stage) -> None:
    played(stage, lives(people(3), FIRST) + lives(people(2, 1)))
    change(stage, "UPDATE customers SET mrr = 1 WHERE customer_id = ?", people(1)[0])
    assert differences(stage) == {people(1)[0]: "the event in the outbox differs from the customer"}
    assert answer(stage, "reconcile", "--from", SECOND)["total"]["topic"]["count"] == 2
    assert answer(stage, "reconcile", "--from", "2026-07-01", "--to", "2027-01-01")["days"] == []
    assert differences(stage, "--to", FIRST) == differences(stage)


def test_unpublished_event_is_pending(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(lives(people(3), FIRST))
    stage.run_to_the_end_of_the_topics()
    stage.produce(lives(people(4, 1)))
    worker = stage.start(FAILPOINT="before-publish:1")
    assert worker.wait() == KILLED
    books = answer(stage, "reconcile")
    four = {"count": 4, "lost_arr": "4800.00"}
    assert [(day["day"], day["events"], day["pending"], day["topic"]) for day in books["days"][1:]] == [
        (SECOND, four, four, NOBODY)
    ]
    stage.run_to_the_end_of_the_topics()
    assert answer(stage, "reconcile")["total"]["pending"] == NOBODY


def test_published_but_unmarked_event_is_no_difference(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(lives(people(3), FIRST))
    stage.run_to_the_end_of_the_topics()
    stage.produce(lives(people(4, 1)))
    worker = stage.start(FAILPOINT="after-publish:1")
    assert worker.wait() == KILLED
    books = answer(stage, "reconcile")
    assert books["total"]["topic"] == books["total"]["customers"] == {"count": 7, "lost_arr": "8400.00"}
    assert books["total"]["pending"] == NOBODY


def test_reconcile_beside_a_busy_worker_finds_no_difference(stage: Stage) -> None:
    serve(stage)
    stage.settings["BATCH__MAX_RECORDS"] = "500"
    stage.create_topics()
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read")
    counts = []
    for seed in range(5):
        stage.produce(lives(people(3_000, seed), f"2026-06-{seed + 1:02}"))
        counts.append(answer(stage, "reconcile")["total"]["events"]["count"])
    stage.wait_until_consumed(worker)
    worker.wait_until(lambda: _nothing_pending(stage), "all published")
    assert answer(stage, "reconcile")["total"]["topic"] == {"count": 15_000, "lost_arr": "18000000.00"}
    assert counts == sorted(counts)
    assert worker.stop() == 0


def _nothing_pending(stage: Stage) -> bool:
    total: dict[str, Any] = answer(stage, "reconcile")["total"]
    return bool(total["pending"]["count"] == 0)


def test_a_store_that_was_rebuilt_agrees_with_the_topic(stage: Stage) -> None:
    played(stage, lives(people(20)))
    for file in stage.directory.glob("customers.duckdb*"):
        file.unlink()
    stage.move_group("start")
    stage.run_to_the_end_of_the_topics()
    assert answer(stage, "reconcile")["total"]["topic"] == {"count": 20, "lost_arr": "24000.00"}


def test_each_difference_is_reported_by_customer(stage: Stage) -> None:
    ada, bob, eve, zoe = people(4)
    nobody = str(uuid.uuid4())
    played(stage, lives(people(6)))
    published = events(stage)
    change(stage, "UPDATE customers SET churn_date = NULL WHERE customer_id = ?", ada)
    change(stage, "DELETE FROM outbox WHERE customer_id = ?", bob)
    put(stage, eve, (published[eve].value or b"").replace(b'"1200.00"', b'"1.00"'))
    put(stage, zoe, published[zoe].value)
    put(stage, nobody, (published[zoe].value or b"").replace(zoe.encode(), nobody.encode()))
    assert differences(stage) == {
        ada: "an event in the outbox, but the customer has not churned",
        bob: "churned, but no event in the outbox; an event on the topic, but not in the outbox",
        eve: "2 events on the topic; the event on the topic differs from that in the outbox",
        zoe: "2 events on the topic",
        nobody: "an event on the topic, but not in the outbox",
    }
    code, out, _ = run(stage, "reconcile")
    assert code == 1
    assert f"{eve}: 2 events on the topic" in out.decode()
    assert "(customer 2026-06-30 $1,200.00, outbox 2026-06-30 $1,200.00, topic 2026-06-30 $1,200.00 and" in out.decode()
    assert "5 differences." in out.decode()


def test_published_event_missing_on_the_topic_is_a_difference(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(lives(people(3), FIRST) + lives(people(2, 1)))
    assert stage.start(FAILPOINT="before-publish").wait() == KILLED
    assert answer(stage, "reconcile")["total"]["pending"]["count"] == 5
    change(stage, "UPDATE progress SET published_seq = (SELECT max(seq) FROM outbox)")
    lost = "the event was published, but is not on the topic"
    assert differences(stage) == dict.fromkeys(people(3) + people(2, 1), lost)


def test_event_deleted_within_its_batch_is_missing(stage: Stage) -> None:
    played(stage, lives(people(20)))
    gone = next(record for record in events(stage).values() if record.offset == 0)
    delete_first(stage, gone.partition)
    assert differences(stage) == {(gone.key or b"").decode(): "the event was published, but is not on the topic"}


def read_before(stage: Stage, *options: str) -> int:
    """Return the number of events that a reconcile without differences did not read again."""
    found: int = answer(stage, "reconcile", *options)["read_before"]
    return found


def test_cached_records_are_not_read_again(stage: Stage) -> None:
    played(stage, lives(people(20), FIRST))
    first = answer(stage, "reconcile")
    assert first["read_before"] == 0
    assert answer(stage, "reconcile") == {**first, "read_before": 20}
    assert "20 events on the topic were read by an earlier run" in said(stage, "reconcile")
    played(stage, lives(people(30, 1)))
    books = answer(stage, "reconcile", "--from", SECOND)
    assert (books["read_before"], books["total"]["topic"]["count"]) == (20, 30)
    books = answer(stage, "reconcile")
    assert (books["read_before"], books["total"]["topic"]["count"]) == (50, 50)
    assert read_before(stage, "--full") == 0
    assert read_before(stage) == 50


def test_difference_is_reported_despite_the_cache(stage: Stage) -> None:
    ada, bob, eve, zoe = people(4)
    played(stage, lives(people(6)))
    assert read_before(stage) == 0
    change(stage, "UPDATE customers SET churn_date = NULL WHERE customer_id = ?", ada)
    put(stage, zoe, events(stage)[zoe].value)
    change(stage, "DELETE FROM outbox WHERE customer_id = ?", bob)
    told = differences(stage)
    assert told == {
        ada: "an event in the outbox, but the customer has not churned",
        bob: "churned, but no event in the outbox; an event on the topic, but not in the outbox",
        zoe: "2 events on the topic",
    }
    put(stage, eve, None)
    assert differences(stage) == told
    assert answer(stage, "reconcile", code=1)["tombstones"] == 1


def test_event_deleted_since_the_last_read_is_missing(stage: Stage) -> None:
    played(stage, lives(people(20)))
    assert read_before(stage) == 0
    gone = next(record for record in events(stage).values() if record.offset == 0)
    delete_first(stage, gone.partition)
    assert differences(stage) == {(gone.key or b"").decode(): "the event was published, but is not on the topic"}


@pytest.mark.parametrize("by", [0, -1], ids=["as long", "shorter"])
def test_recreated_topic_is_read_again(stage: Stage, by: int) -> None:
    played(stage, lives(people(200)))
    assert read_before(stage) == 0
    lengths = {place[1]: end + by for place, end in ends(stage).items() if place[0] == stage.topics.churned}
    make_anew(stage, lengths, b"{}")
    books = answer(stage, "reconcile", code=1)
    assert len(books["differences"]) == 200
    assert len(books["no_events"]) == sum(lengths.values())


def test_unmarked_records_are_read_again(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(lives(people(3), FIRST))
    stage.run_to_the_end_of_the_topics()
    stage.produce(lives(people(4, 1)))
    assert stage.start(FAILPOINT="after-publish:1").wait() == KILLED
    assert read_before(stage) == 0
    assert read_before(stage) == 3
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read, and marked")
    assert worker.stop() == 0
    assert read_before(stage) == 3
    assert read_before(stage) == 7


def test_cache_expires_before_tombstones_are_compacted(stage: Stage) -> None:
    played(stage, lives(people(3)))
    assert (read_before(stage), read_before(stage)) == (0, 3)
    configure(stage.kafka.bootstrap_servers, stage.topics.churned, "delete.retention.ms", "1")
    assert read_before(stage) == 0


def test_topic_is_read_again_without_a_usable_cache(stage: Stage) -> None:
    played(stage, lives(people(3)))
    cache(stage).write_text("in the way")
    assert (read_before(stage), read_before(stage)) == (0, 0)
    cache(stage).unlink()
    assert (read_before(stage), read_before(stage)) == (0, 3)
    [file] = (cache(stage) / "customer-worker").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    file.write_bytes(file.read_bytes()[:-1])
    assert (read_before(stage), read_before(stage)) == (0, 3)
    assert not [who for who in people(3) if who.encode() in file.read_bytes()], "a file that names no customer"


@pytest.mark.parametrize("value", [
    None, b"", b"\xff", b"[]", b"{}", b'{"customer_id": 1}',
    b'{"customer_id": "\\u001b[31m", "churn_date": "2026-02-30", "lost_arr": {"amount": "1.00", "currency": "USD"}}',
    b'{"customer_id": "x", "churn_date": "2026-W01-1", "lost_arr": {"amount": "1.00", "currency": "USD"}}',
    b'{"customer_id": "x", "churn_date": "2026-01-01", "lost_arr": {"amount": "NaN", "currency": "USD"}}',
    b'{"customer_id": "x", "churn_date": "2026-01-01", "lost_arr": {"amount": "1.00", "currency": "EUR"}}',
], ids=str)  # fmt: skip
def test_unrecognised_record_is_named(two_lives: Stage, value: bytes | None) -> None:
    before = ends(two_lives)
    put(two_lives, "x", value)
    [(topic, partition)] = [place for place, end in ends(two_lives).items() if end > before[place]]
    books = answer(two_lives, "reconcile", code=1)
    assert topic == two_lives.topics.churned
    assert books["no_events"].count(f"{topic}/{partition}/{before[topic, partition]}") == 1
    assert len(set(books["no_events"])) == len(books["no_events"]), "each is named once"
    assert books["differences"] == []


def test_content_of_an_unrecognised_record_is_not_printed(stage: Stage) -> None:
    played(stage, lives(people(1)))
    money = b'{"amount": "1.00", "currency": "USD"}'
    put(stage, "x", b'{"customer_id": "\\u001b[31m\\u202e", "churn_date": "2026-01-01", "lost_arr": ' + money + b"}")
    code, out, _ = run(stage, "reconcile")
    assert code == 1
    assert ": no churned event" in out.decode()
    assert not {each for each in out.decode() if each != "\n" and not each.isprintable()}


def test_failure_is_one_sentence(stage: Stage) -> None:
    serve(stage)
    stage.create_topics()
    assert "no store" in said(stage, "reconcile", code=69)
    assert "does not exist" in said(stage, "reconcile", code=69, TOPICS__CHURNED="no.such.topic")
    worker: WorkerProcess = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "the receipt read")
    assert "No churned customers." in said(stage, "reconcile")
    assert "Kafka cannot be reached" in said(stage, "reconcile", code=69, KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert "a day is YYYY-MM-DD" in said(stage, "reconcile", "--from", "yesterday", code=2)
    assert "--from is after --to" in said(stage, "reconcile", "--from", SECOND, "--to", FIRST, code=2)
