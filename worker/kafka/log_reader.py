"""Reads of partitions from given offsets to fixed ends, without a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka import record_parsing
from worker.kafka.record_parsing import ValueBatch
from worker.messages.log_identity import RecordMark, mark_of
from worker.messages.record import Record
from worker.settings import Kafka

FETCH_BYTES = 4 * 1024 * 1024
MARK_FETCH_BYTES = 64 * 1024
"""Fetch size per partition to read one record; a broker returns at least a whole batch."""
RECORDS_AT_ONCE = 50_000
STALLED_SECONDS = 60.0


class LogStalled(Exception):
    """A partition that cannot be read to its end now; the message names it and the probable cause."""


@asynccontextmanager
async def committed_reader(
    settings: Kafka, fetch_bytes: int = FETCH_BYTES, *, values_only: bool = False
) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a started `read_committed` consumer that fetches about `fetch_bytes` of a partition at once.

    With `values_only` it is for `LogReading.values`. Raises `Refusal` if Kafka cannot be read.
    """
    record_parsing.install()
    reader = kafka.committed_reader(
        settings,
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_bytes=4 * fetch_bytes,
        fetch_max_wait_ms=50,
        value_deserializer=ValueBatch if values_only else None,
    )
    try:
        await asyncio.wait_for(reader.start(), kafka.CONNECT_SECONDS)
        yield reader
    except LogStalled as stalled:
        raise Refusal(str(stalled), Exit.UNREACHABLE) from None
    except OffsetOutOfRangeError as gone:
        names = ", ".join(
            f"{partition.topic}/{partition.partition}/{offset}" for partition, offset in gone.args[0].items()
        )
        raise Refusal(
            f"{names} no longer exists: the log was truncated while it was read. Run the command again",
            Exit.UNREACHABLE,
        ) from None
    except (KafkaError, OSError, TimeoutError) as error:
        raise await kafka.unreachable(settings, error) from error
    finally:
        await reader.stop()


async def partitions_of(settings: Kafka, topics: Iterable[str]) -> list[TopicPartition]:
    """Return every partition of the topics that exist. Raises `Refusal` if no broker answers."""
    async with kafka.admin_client(settings) as admin:
        counts = await kafka.partition_counts(admin, topics)
    return [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]


class LogReading:
    """A read of partitions by a started consumer, from `starts` to `ends`. `positions` are the next offsets.

    Starts and ends are offsets; a partition whose end is not beyond its start is not read.
    """

    def __init__(
        self, reader: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> None:
        self._reader = reader
        self._starts = starts
        self._ends = ends
        self.positions = {partition: start for partition, start in starts.items() if start < ends[partition]}

    @property
    def left(self) -> list[TopicPartition]:
        """The partitions not yet read to their end."""
        return [partition for partition, position in self.positions.items() if position < self._ends[partition]]

    async def parts(self) -> AsyncIterator[Mapping[TopicPartition, Sequence[Record]]]:
        """Yield records by partition until the end; none if only a position moved.

        Raises `LogStalled` if no position moves for a minute. Records after the end, fetched with the last ones before
        it, are omitted.
        """
        if self.positions:
            self._reader.assign(list(self.positions))
        for partition, start in self.positions.items():
            self._reader.seek(partition, start)
        while left := self.left:
            yield await self._some(left)

    async def values(self) -> AsyncIterator[tuple[TopicPartition, list[ValueBatch]]]:
        """Yield values of one partition until the end; for a reader of values only.

        Raises `LogStalled` as `parts` does.
        """
        async for part in self.parts():
            for partition, read in part.items():
                batches = [batch.since(self._starts[partition]) for batch in cast("Sequence[ValueBatch]", read)]
                if left := [batch for batch in batches if batch.offsets]:
                    yield partition, left

    async def _some(self, left: Sequence[TopicPartition]) -> Mapping[TopicPartition, Sequence[Record]]:
        try:
            return await asyncio.wait_for(self._next(left), STALLED_SECONDS)
        except TimeoutError:
            names = ", ".join(f"{each.topic}/{each.partition}" for each in left)
            raise LogStalled(
                f"{names} could not be read to the end within {STALLED_SECONDS:.0f} s: a transaction of another "
                "producer may be open there (kafka-transactions.sh find-hanging)"
            ) from None

    async def _next(self, left: Sequence[TopicPartition]) -> Mapping[TopicPartition, Sequence[Record]]:
        """Poll until a position moves, by records or by markers of transactions."""
        while True:
            found = await self._reader.getmany(*left, timeout_ms=500, max_records=RECORDS_AT_ONCE)
            if await self._moved(left):
                return {partition: self._before_end(partition, records) for partition, records in found.items()}

    async def _moved(self, left: Sequence[TopicPartition]) -> bool:
        before = dict(self.positions)
        for partition in left:
            self.positions[partition] = min(await self._reader.position(partition), self._ends[partition])
        return self.positions != before

    def _before_end(self, partition: TopicPartition, records: Sequence[Record]) -> Sequence[Record]:
        end = self._ends[partition]
        if not records or records[-1].offset < end:
            return records
        return [record for record in records if record.offset < end]


async def read_marks(settings: Kafka, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, RecordMark]:
    """Read the record at an offset of each of these partitions, which its log must have.

    A partition is omitted if the record was compacted away.
    Raises `Refusal` where Kafka cannot be read.
    """
    if not offsets:
        return {}
    found = {}
    async with committed_reader(settings, MARK_FETCH_BYTES) as reader:
        ends = {partition: offset + 1 for partition, offset in offsets.items()}
        async for part in LogReading(reader, offsets, ends).parts():
            found.update({partition: mark_of(records[0]) for partition, records in part.items() if records})
    return found
