"""A log is read to its end, values only."""

import asyncio
from collections.abc import Sequence

from aiokafka import TopicPartition

from worker.kafka.log_reader import LogReading
from worker.kafka.record_parsing import ValueBatch

PLACE, OTHER = TopicPartition("topic", 0), TopicPartition("topic", 1)


class Reader:
    """Hands over what each call is to give."""

    def __init__(self, *calls: dict[TopicPartition, list[ValueBatch]]) -> None:
        self._calls = list(calls)
        self._positions: dict[TopicPartition, int] = {}

    def assign(self, places: Sequence[TopicPartition]) -> None:
        pass

    def seek(self, place: TopicPartition, offset: int) -> None:
        self._positions[place] = offset

    async def getmany(
        self, *places: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[ValueBatch]]:
        found = self._calls.pop(0)
        self._positions.update((place, batches[-1].offset + 1) for place, batches in found.items())
        return found

    async def position(self, place: TopicPartition) -> int:
        return self._positions[place]


def batch(*offsets: int) -> ValueBatch:
    return ValueBatch(list(offsets), [str(offset).encode() for offset in offsets], 7)


def read(reader: Reader, start: int, end: int) -> list[tuple[TopicPartition, list[ValueBatch]]]:
    async def values() -> list[tuple[TopicPartition, list[ValueBatch]]]:
        reading = LogReading(reader, {PLACE: start, OTHER: 0}, {PLACE: end, OTHER: 1})
        return [each async for each in reading.values()]

    return asyncio.run(values())


def test_batches_are_grouped_by_fetch_and_partition() -> None:
    reader = Reader({PLACE: [batch(0, 1), batch(3)], OTHER: [batch(0)]}, {PLACE: [batch(4, 5)]})
    assert read(reader, 0, 6) == [
        (PLACE, [batch(0, 1), batch(3)]),
        (OTHER, [batch(0)]),
        (PLACE, [batch(4, 5)]),
    ]


def test_records_of_a_batch_before_the_start_are_skipped() -> None:
    reader = Reader({PLACE: [batch(0, 1, 2)]}, {OTHER: [batch(0)]})
    assert read(reader, 2, 3) == [(PLACE, [batch(2)]), (OTHER, [batch(0)])]


def test_records_fetched_after_the_end_are_skipped() -> None:
    reader = Reader({PLACE: [batch(0, 1), batch(2, 3)], OTHER: [batch(0)]})
    assert read(reader, 0, 2) == [(PLACE, [batch(0, 1)]), (OTHER, [batch(0)])]


def test_batch_before_the_start_is_skipped() -> None:
    reader = Reader({PLACE: [batch(0, 1), batch(4)]}, {OTHER: [batch(0)]})
    assert read(reader, 2, 5) == [(PLACE, [batch(4)]), (OTHER, [batch(0)])]
