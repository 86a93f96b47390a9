"""A changed partition leader is detected before records of its fetches are applied."""

from __future__ import annotations

import aiokafka.consumer.fetcher
import pytest
from aiokafka import TopicPartition

from tests.worker.record_batches import record_batch
from worker.kafka import record_parsing
from worker.kafka.leader_changes import LeaderChanges
from worker.kafka.message_reading import MessageReading

ONE, TWO = TopicPartition("topic", 1), TopicPartition("topic", 2)
RECORDS: list[tuple[bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]] = [(b"key", b"value", [])]


class Connections(dict[TopicPartition, object]):
    """The connection to each partition's leader."""

    def reconnect(self, partition: TopicPartition) -> None:
        self[partition] = object()


@pytest.fixture
def connections() -> Connections:
    return Connections({ONE: object(), TWO: object()})


@pytest.fixture
def leaders(connections: Connections) -> LeaderChanges:
    leaders = LeaderChanges(connections.get)
    leaders.start([ONE, TWO])
    return leaders


def test_same_epoch_and_connection_are_no_change(leaders: LeaderChanges) -> None:
    for partition, epoch in ((ONE, 3), (TWO, 4), (ONE, 3), (TWO, 4)):
        leaders.begin_fetch(partition, epoch)
        leaders.read_batch(partition, epoch)
    assert not leaders.found


def test_another_epoch_is_a_change_of_its_partition(leaders: LeaderChanges) -> None:
    leaders.begin_fetch(ONE, 3)
    leaders.begin_fetch(TWO, 3)
    leaders.begin_fetch(ONE, 4)
    assert leaders.found == {ONE}


def test_epochs_that_follow_within_a_fetch_are_no_change(leaders: LeaderChanges) -> None:
    leaders.begin_fetch(ONE, 3)
    leaders.read_batch(ONE, 3)
    leaders.read_batch(ONE, 4)
    leaders.begin_fetch(ONE, 4)
    assert not leaders.found


def test_reconnection_is_a_change(leaders: LeaderChanges, connections: Connections) -> None:
    leaders.begin_fetch(ONE, 3)
    connections.reconnect(ONE)
    assert not leaders.found, "nothing was fetched by it yet"
    leaders.begin_fetch(ONE, 3)
    leaders.begin_fetch(TWO, 3)
    assert leaders.found == {ONE}


def test_first_connection_after_the_comparison_is_a_change(connections: Connections) -> None:
    leaders = LeaderChanges(connections.get)
    known = connections.pop(ONE)
    leaders.start([ONE])
    connections[ONE] = known
    leaders.begin_fetch(ONE, 3)
    assert leaders.found == {ONE}


def test_start_forgets_what_was_found(leaders: LeaderChanges, connections: Connections) -> None:
    leaders.begin_fetch(ONE, 3)
    connections.reconnect(ONE)
    leaders.begin_fetch(ONE, 4)
    leaders.start([ONE, TWO])
    leaders.begin_fetch(ONE, 4)
    assert not leaders.found


def test_epochs_are_read_from_fetched_batches(leaders: LeaderChanges, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MemoryRecords", "PartitionRecords"):
        monkeypatch.setattr(aiokafka.consumer.fetcher, name, getattr(aiokafka.consumer.fetcher, name))
    record_parsing.install()
    fetch(leaders, record_batch(RECORDS, epoch=3) + record_batch(RECORDS, base_offset=1, epoch=4), 0)
    fetch(leaders, record_batch(RECORDS, base_offset=2, epoch=4), 2)
    assert not leaders.found
    fetch(leaders, record_batch(RECORDS, base_offset=3, epoch=5), 3)
    assert leaders.found == {ONE}


def fetch(leaders: LeaderChanges, data: bytes, offset: int) -> None:
    """Unpack what a broker sent as aiokafka's fetcher does."""
    fetcher = aiokafka.consumer.fetcher
    reading = MessageReading(leaders, lambda records, _: list(records))
    records = fetcher.PartitionRecords(
        ONE, fetcher.MemoryRecords(data), [], offset, None, reading, True, fetcher.READ_COMMITTED
    )
    assert list(records)
