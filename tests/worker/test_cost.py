"""Cost of a batch, counted: SQL statements per batch, and Python calls per record, unpacking included.

A commit that raises a number here says why it is worth it.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from datetime import date
from types import FrameType
from typing import Any, NamedTuple, cast

import aiokafka.consumer.fetcher
import pytest
from aiokafka import TopicPartition

from tests.support.builders import CANCELLATIONS, SIGNUPS, customer_id
from tests.worker.record_batches import record_batch
from worker.kafka import record_parsing
from worker.kafka.leader_changes import LeaderChanges
from worker.kafka.message_reading import MessageReading
from worker.messages.composer import Composer
from worker.messages.inbound import Decoder
from worker.processing.batch import BatchProcessor
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.duckdb.store import DuckDBStore

HEADERS = [
    (b"ce_specversion", b"1.0"),
    (b"ce_id", b"7d0b3c1e"),
    (b"ce_source", b"/billing"),
    (b"ce_type", b"customer.signup"),
    (b"ce_time", b"2026-11-01T00:00:00Z"),
    (b"content-type", b"application/json"),
]
FEW, MANY = 500, 1_500
MOST_CALLS_A_RECORD = {"signups": 17.4, "cancellations": 50.4, "the same signups again": 19.4}
MOST_STATEMENTS_A_BATCH = {"signups": 5, "cancellations": 6, "the same signups again": 5}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MemoryRecords", "PartitionRecords"):
        monkeypatch.setattr(aiokafka.consumer.fetcher, name, getattr(aiokafka.consumer.fetcher, name))
    record_parsing.install()


class Counted:
    """A connection that counts the statements run on it."""

    def __init__(self, connection: Any) -> None:
        self.statements = 0
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *arguments: Any) -> Any:
        self.statements += 1
        return self._connection.execute(*arguments)


class Fetched(NamedTuple):
    """A record batch of a topic, as a fetch returns it."""

    topic: str
    offset: int
    data: bytes


def signups(count: int, first_offset: int = 0) -> Fetched:
    values = [
        f'{{"customer_id":"{customer_id(number)}","industry":"FinTech","plan_tier":"growth",'
        f'"signup_date":"{date(2026, 1, 15)}","mrr":{{"amount":"499.00","currency":"USD"}}}}'
        for number in range(count)
    ]
    return _fetched(SIGNUPS, values, first_offset)


def cancellations(count: int) -> Fetched:
    values = [
        f'{{"customer_id":"{customer_id(number)}","cancellation_date":"2026-06-30","reason":"too_expensive"}}'
        for number in range(count)
    ]
    return _fetched(CANCELLATIONS, values)


def _fetched(topic: str, values: Sequence[str], offset: int = 0) -> Fetched:
    return Fetched(
        topic, offset, record_batch([(b"key", value.encode(), HEADERS) for value in values], base_offset=offset)
    )


class World:
    def __init__(self) -> None:
        self.store = DuckDBStore(":memory:")
        self.counted = Counted(self.store._db)
        self.store._db = cast("Any", self.counted)
        composer = Composer(churned_topic="churned", dead_letter_suffix="-dlt", group_id="g")
        self.path = BatchProcessor(Decoder(SIGNUPS, 65_536), composer)
        self.reading = MessageReading(LeaderChanges(lambda _: None), self.path.decoder.decode_all)

    def apply(self, fetched: Fetched) -> None:
        """Unpack and apply what a fetch returned, as the worker does."""
        fetcher = aiokafka.consumer.fetcher
        messages = fetcher.PartitionRecords(
            TopicPartition(fetched.topic, 0),
            fetcher.MemoryRecords(fetched.data),
            [],
            fetched.offset,
            None,
            self.reading,
            True,
            fetcher.READ_COMMITTED,
        )
        with UnitOfWork(self.store) as work:
            self.path.apply(list(messages), work)
            work.commit()


def _signups(count: int) -> tuple[World, Fetched]:
    return World(), signups(count)


def _cancellations(count: int) -> tuple[World, Fetched]:
    world = World()
    world.apply(signups(count))
    return world, cancellations(count)


def _again(count: int) -> tuple[World, Fetched]:
    world = World()
    world.apply(signups(count))
    return world, signups(count, first_offset=count)


BATCHES: dict[str, Callable[[int], tuple[World, Fetched]]] = {
    "signups": _signups,
    "cancellations": _cancellations,
    "the same signups again": _again,
}


@pytest.mark.parametrize("name", BATCHES)
def test_statements_per_batch_are_constant(name: str) -> None:
    few, many = (_statements(name, count) for count in (FEW, MANY))
    assert few == many
    assert many <= MOST_STATEMENTS_A_BATCH[name]


@pytest.mark.parametrize("name", BATCHES)
def test_no_more_python_calls_a_record_than_recorded(name: str) -> None:
    _calls(name, FEW)  # what a first batch imports is not a record's
    calls = (_calls(name, MANY) - _calls(name, FEW)) / (MANY - FEW)
    assert round(calls, 1) <= MOST_CALLS_A_RECORD[name]


def _statements(name: str, count: int) -> int:
    world, fetched = BATCHES[name](count)
    before = world.counted.statements
    world.apply(fetched)
    return world.counted.statements - before


def _calls(name: str, count: int) -> int:
    world, fetched = BATCHES[name](count)
    seen = 0

    def note(_: FrameType, event: str, __: Any) -> None:
        nonlocal seen
        seen += event in {"call", "c_call"}

    gc.disable()  # as in the worker; and others have their own functions called by the collector
    sys.setprofile(note)
    try:
        world.apply(fetched)
    finally:
        sys.setprofile(None)
        gc.enable()
    return seen
