"""Cost of a batch, counted: SQL statements per batch, and Python calls per record.

A commit that raises a number here says why it is worth it.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from datetime import date
from types import FrameType
from typing import Any, cast

import pytest

from tests.support.builders import CANCELLATIONS, SIGNUPS, customer_id
from worker.messages.composer import Composer
from worker.messages.inbound import Decoder
from worker.messages.record import PlainRecord, Record
from worker.processing.batch import BatchProcessor
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.duckdb.store import DuckDBStore

HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"7d0b3c1e"),
    ("ce_source", b"/billing"),
    ("ce_type", b"customer.signup"),
    ("ce_time", b"2026-11-01T00:00:00Z"),
    ("content-type", b"application/json"),
]
FEW, MANY = 500, 1_500
MOST_CALLS_A_RECORD = {"signups": 16.1, "cancellations": 48.1, "the same signups again": 19.1}
MOST_STATEMENTS_A_BATCH = {"signups": 5, "cancellations": 6, "the same signups again": 5}


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


def signups(count: int, first_offset: int = 0) -> list[Record]:
    return [
        _record(
            SIGNUPS,
            first_offset + number,
            f'{{"customer_id":"{customer_id(number)}","industry":"FinTech","plan_tier":"growth",'
            f'"signup_date":"{date(2026, 1, 15)}","mrr":{{"amount":"499.00","currency":"USD"}}}}',
        )
        for number in range(count)
    ]


def cancellations(count: int) -> list[Record]:
    return [
        _record(
            CANCELLATIONS,
            number,
            f'{{"customer_id":"{customer_id(number)}","cancellation_date":"2026-06-30","reason":"too_expensive"}}',
        )
        for number in range(count)
    ]


def _record(topic: str, offset: int, value: str) -> Record:
    return PlainRecord(topic, 0, offset, 1_700_000_000_000, b"key", value.encode(), HEADERS)


class World:
    def __init__(self) -> None:
        self.store = DuckDBStore(":memory:")
        self.counted = Counted(self.store._db)
        self.store._db = cast("Any", self.counted)
        composer = Composer(churned_topic="churned", dead_letter_suffix="-dlt", group_id="g")
        self.path = BatchProcessor(Decoder(SIGNUPS, 65_536), composer)

    def apply(self, records: Sequence[Record]) -> None:
        with UnitOfWork(self.store) as work:
            self.path.apply(records, work)
            work.commit()


def _signups(count: int) -> tuple[World, Sequence[Record]]:
    return World(), signups(count)


def _cancellations(count: int) -> tuple[World, Sequence[Record]]:
    world = World()
    world.apply(signups(count))
    return world, cancellations(count)


def _again(count: int) -> tuple[World, Sequence[Record]]:
    world = World()
    world.apply(signups(count))
    return world, signups(count, first_offset=count)


BATCHES: dict[str, Callable[[int], tuple[World, Sequence[Record]]]] = {
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
    world, records = BATCHES[name](count)
    before = world.counted.statements
    world.apply(records)
    return world.counted.statements - before


def _calls(name: str, count: int) -> int:
    world, records = BATCHES[name](count)
    seen = 0

    def note(_: FrameType, event: str, __: Any) -> None:
        nonlocal seen
        seen += event in {"call", "c_call"}

    gc.disable()  # as in the worker; and others have their own functions called by the collector
    sys.setprofile(note)
    try:
        world.apply(records)
    finally:
        sys.setprofile(None)
        gc.enable()
    return seen
