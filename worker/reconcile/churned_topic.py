"""What is on `customer.churned`: read whole, or from where an earlier reading is known to have ended."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.kafka.log_reader import LogReading
from worker.kafka.record_parsing import ValueBatch
from worker.reconcile.topic_cache import ReadPrefix, Remembered
from worker.stores.churns import Churn, Sum, TopicDays, ValueReader
from worker.stores.erasure import EventOffset, erased_customer


class NotThereAnyMore(Exception):
    """What an earlier reading has read does not stand on the topic now."""


@dataclass
class Reading:
    """The topic's account of each day, the customers of its last events, and where records stand that are no events.

    `settled` are the days by what stands before the ends that the store had marked, in these `stretches`. Events before
    their tombstone are counted as any, until compaction takes them away.
    """

    settled: dict[date, Sum] = field(default_factory=lambda: defaultdict(Sum))
    unsettled: dict[date, Sum] = field(default_factory=lambda: defaultdict(Sum))
    stretches: dict[int, ReadPrefix] = field(default_factory=dict)
    recent: set[str] = field(default_factory=set)
    strangers: list[str] = field(default_factory=list)
    tombstones: dict[str, dict[int, int]] = field(default_factory=dict)

    def days(self) -> dict[date, Sum]:
        """Each day."""
        days = self.settled.keys() | self.unsettled.keys()
        return {day: self.settled.get(day, Sum()) + self.unsettled.get(day, Sum()) for day in days}


class ChurnedTopic:
    """The topic at these places, read with `reader`, which reads values only."""

    def __init__(self, reader: AIOKafkaConsumer, places: Sequence[TopicPartition], values: ValueReader) -> None:
        self._reader = reader
        self._places = places
        self._values = values

    @property
    def name(self) -> str:
        """Name of the topic."""
        name: str = self._places[0].topic
        return name

    async def ends(self) -> dict[TopicPartition, int]:
        """The end of each partition."""
        ends: dict[TopicPartition, int] = await self._reader.end_offsets(self._places)
        return ends

    async def read(self, known: Remembered, ends: Mapping[TopicPartition, int], marked: Mapping[str, int]) -> Reading:
        """What it says up to these ends; recent is what the store had not `marked`.

        What is known is not read again but for the last batch of each of its partitions: that has to stand where it
        stood. Raises `NotThereAnyMore` where it does not, or where the log was cut since.
        """
        begins = await self._begins()
        last = _last_batches(known, begins)
        found = Reading(defaultdict(Sum, known.days), stretches=dict(known.stretches))
        starts = begins | {place: stretch.end - 1 for place, stretch in last.items()}
        async for place, batches in LogReading(self._reader, starts, ends).values():
            if (stretch := last.pop(place, None)) is not None:
                first = batches.pop(0)
                if (first.offset + 1, first.checksum) != (stretch.end, stretch.checksum):
                    raise NotThereAnyMore
            await self._add(found, place, begins[place], batches, marked.get(str(place.partition), 0))
        if last:  # nothing stands there, or the log ends before
            raise NotThereAnyMore
        return found

    async def _add(
        self, found: Reading, place: TopicPartition, begin: int, batches: Sequence[ValueBatch], marked: int
    ) -> None:
        count = bisect_left(batches, marked, key=lambda batch: batch.offset)
        settled, unsettled = batches[:count], batches[count:]
        if settled:
            found.stretches[place.partition] = ReadPrefix(begin, settled[-1].offset + 1, settled[-1].checksum)
            await self._add_up(found, found.settled, place, settled)
        if unsettled:
            found.recent.update(await self._add_up(found, found.unsettled, place, unsettled, are_recent=True))

    async def _add_up(
        self,
        found: Reading,
        days: dict[date, Sum],
        place: TopicPartition,
        batches: Sequence[ValueBatch],
        *,
        are_recent: bool = False,
    ) -> Sequence[str]:
        """Add these to the days, and note the strangers among them; their customers, if they are recent."""
        offsets = [offset for batch in batches for offset in batch.offsets]
        values = [value for batch in batches for value in batch.values]
        part: TopicDays = await asyncio.to_thread(self._values.days, values, 0 if are_recent else len(values))
        for day, added in part.days.items():
            days[day] += added
        keys = {offset: key for batch in batches for offset, key in batch.tombstones}
        for offset in [offsets[index] for index in part.strangers]:
            if (customer_id := erased_customer(keys.get(offset))) is not None:
                found.tombstones.setdefault(customer_id, {})[place.partition] = offset
            else:
                found.strangers.append(f"{place.topic}/{place.partition}/{offset}")
        return part.recent

    async def churns(
        self, ends: Mapping[TopicPartition, int], among: AbstractSet[str] | None = None
    ) -> AsyncIterator[tuple[EventOffset, Churn]]:
        """Every event up to these ends, or every one of these customers, one by one with where it stands."""
        async for place, batches in LogReading(self._reader, await self._begins(), ends).values():
            offsets = [offset for batch in batches for offset in batch.offsets]
            values = [value for batch in batches for value in batch.values]
            for index, churn in await asyncio.to_thread(self._values.churns, values, among):
                yield EventOffset(place.partition, offsets[index]), churn

    async def _begins(self) -> dict[TopicPartition, int]:
        begins: dict[TopicPartition, int] = await self._reader.beginning_offsets(self._places)
        return begins


def _last_batches(known: Remembered, begins: Mapping[TopicPartition, int]) -> dict[TopicPartition, ReadPrefix]:
    """Each known stretch by its place. Raises `NotThereAnyMore` where its log is gone, or begins elsewhere."""
    places = {place.partition: place for place in begins}
    for partition, stretch in known.stretches.items():
        place = places.get(partition)
        if place is None or begins[place] != stretch.begin:
            raise NotThereAnyMore
    return {places[partition]: stretch for partition, stretch in known.stretches.items()}
