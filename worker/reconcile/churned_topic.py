"""Reader of `customer.churned`: the whole topic, or the records after the prefix cached by an earlier reading."""

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
from worker.reconcile.topic_cache import CachedReading, ReadPrefix
from worker.stores.churns import Churn, Sum, TopicDays, ValueReader
from worker.stores.erasure import EventOffset, erased_customer


class PrefixChanged(Exception):
    """Raised if the prefix that an earlier reading has read is no longer on the topic."""


@dataclass
class Reading:
    """Totals of each day, the customers of the last events, and the coordinates of records that are no events.

    `settled` has the days of the events before the published position, which are in these `prefixes` of the partitions.
    Events with a later tombstone count until compaction removes them.
    """

    settled: dict[date, Sum] = field(default_factory=lambda: defaultdict(Sum))
    unsettled: dict[date, Sum] = field(default_factory=lambda: defaultdict(Sum))
    prefixes: dict[int, ReadPrefix] = field(default_factory=dict)
    recent: set[str] = field(default_factory=set)
    unrecognised: list[str] = field(default_factory=list)
    tombstones: dict[str, dict[int, int]] = field(default_factory=dict)

    def days(self) -> dict[date, Sum]:
        """Return the totals of each day."""
        days = self.settled.keys() | self.unsettled.keys()
        return {day: self.settled.get(day, Sum()) + self.unsettled.get(day, Sum()) for day in days}


class ChurnedTopic:
    """The topic in these partitions. `reader` reads values only."""

    def __init__(self, reader: AIOKafkaConsumer, partitions: Sequence[TopicPartition], values: ValueReader) -> None:
        self._reader = reader
        self._partitions = partitions
        self._values = values

    @property
    def name(self) -> str:
        """Name of the topic."""
        name: str = self._partitions[0].topic
        return name

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end offset of each partition."""
        ends: dict[TopicPartition, int] = await self._reader.end_offsets(self._partitions)
        return ends

    async def read(
        self, cached: CachedReading, ends: Mapping[TopicPartition, int], published: Mapping[str, int]
    ) -> Reading:
        """Read up to these ends. Events at or after the `published` end of their partition are recent.

        A cached prefix is not read again, except for its last batch, which must be at its offset. Raises
        `PrefixChanged` if it is not, or if the log was truncated since.
        """
        begins = await self._begins()
        last = _last_batches(cached, begins)
        found = Reading(defaultdict(Sum, cached.days), prefixes=dict(cached.prefixes))
        starts = begins | {partition: prefix.end - 1 for partition, prefix in last.items()}
        async for partition, batches in LogReading(self._reader, starts, ends).values():
            if (prefix := last.pop(partition, None)) is not None:
                first = batches.pop(0)
                if (first.offset + 1, first.checksum) != (prefix.end, prefix.checksum):
                    raise PrefixChanged
            await self._add(found, partition, begins[partition], batches, published.get(str(partition.partition), 0))
        if last:  # there is no batch at its last offset, or the log ends before it
            raise PrefixChanged
        return found

    async def _add(
        self, found: Reading, partition: TopicPartition, begin: int, batches: Sequence[ValueBatch], published: int
    ) -> None:
        count = bisect_left(batches, published, key=lambda batch: batch.offset)
        settled, unsettled = batches[:count], batches[count:]
        if settled:
            found.prefixes[partition.partition] = ReadPrefix(begin, settled[-1].offset + 1, settled[-1].checksum)
            await self._add_up(found, found.settled, partition, settled)
        if unsettled:
            found.recent.update(await self._add_up(found, found.unsettled, partition, unsettled, are_recent=True))

    async def _add_up(
        self,
        found: Reading,
        days: dict[date, Sum],
        partition: TopicPartition,
        batches: Sequence[ValueBatch],
        *,
        are_recent: bool = False,
    ) -> Sequence[str]:
        """Add batches to the days, and records that are no events to `found`. Returns the customers if `are_recent`."""
        offsets = [offset for batch in batches for offset in batch.offsets]
        values = [value for batch in batches for value in batch.values]
        part: TopicDays = await asyncio.to_thread(self._values.days, values, 0 if are_recent else len(values))
        for day, added in part.days.items():
            days[day] += added
        keys = {offset: key for batch in batches for offset, key in batch.tombstones}
        for offset in [offsets[index] for index in part.strangers]:
            if (customer_id := erased_customer(keys.get(offset))) is not None:
                found.tombstones.setdefault(customer_id, {})[partition.partition] = offset
            else:
                found.unrecognised.append(f"{partition.topic}/{partition.partition}/{offset}")
        return part.recent

    async def churns(
        self, ends: Mapping[TopicPartition, int], among: AbstractSet[str] | None = None
    ) -> AsyncIterator[tuple[EventOffset, Churn]]:
        """Yield each event up to these ends with its offset; with `among`, those of these customers alone."""
        async for partition, batches in LogReading(self._reader, await self._begins(), ends).values():
            offsets = [offset for batch in batches for offset in batch.offsets]
            values = [value for batch in batches for value in batch.values]
            for index, churn in await asyncio.to_thread(self._values.churns, values, among):
                yield EventOffset(partition.partition, offsets[index]), churn

    async def _begins(self) -> dict[TopicPartition, int]:
        begins: dict[TopicPartition, int] = await self._reader.beginning_offsets(self._partitions)
        return begins


def _last_batches(cached: CachedReading, begins: Mapping[TopicPartition, int]) -> dict[TopicPartition, ReadPrefix]:
    """Return the prefix of each partition. Raises `PrefixChanged` if a log begins elsewhere or no longer exists."""
    partitions = {partition.partition: partition for partition in begins}
    for number, prefix in cached.prefixes.items():
        if number not in partitions or begins[partitions[number]] != prefix.begin:
            raise PrefixChanged
    return {partitions[number]: prefix for number, prefix in cached.prefixes.items()}
