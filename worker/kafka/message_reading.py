"""Reading of record batches as messages: each record is decoded where it is unpacked, and dropped.

A record with six headers is 20 Python objects. Kept until the batch is applied, they cost more than all of decoding,
in memory that is no longer in the processor's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from aiokafka import TopicPartition
from typing_extensions import override

from worker.kafka.leader_changes import LeaderChanges
from worker.kafka.record_parsing import FetchedRecords, Reading, UnpackedBatch, unpack
from worker.messages.record import PlainRecord, RecordSource, UnpackedRecord, plain
from worker.messages.record import TopicPartition as Partition

DECODED_AT_ONCE = 64
"""Number of unpacked records that exist at once. Their ids and amounts are checked together; 250 take as long."""

Decode = Callable[[Sequence[UnpackedRecord], RecordSource], Sequence[Any]]
"""Decodes some records of one source into messages."""


class MessageReading(Reading):
    """Reading of record batches as messages, one for each record, made as aiokafka takes them for a poll.

    The epochs of the batches are passed to `leaders`.
    """

    def __init__(self, leaders: LeaderChanges, decode: Decode) -> None:
        self._leaders = leaders
        self._decode = decode
        self._seconds = 0.0

    @override
    def begin(self, partition: TopicPartition, fetched: FetchedRecords) -> None:
        if (epoch := fetched.next_epoch) is not None:
            self._leaders.begin_fetch(partition, epoch)
        fetched.read_epoch = partial(self._leaders.read_batch, partition)
        fetched.batch = partial(_MessageBatch, self, tuple(partition))

    def decode(self, batch: RecordBatch, records: Sequence[UnpackedRecord]) -> Sequence[Any]:
        """Decode records of a batch that follow each other."""
        began = time.perf_counter()
        batch.last = plain(batch.topic_partition, records[-1])
        messages = self._decode(records, batch)
        self._seconds += time.perf_counter() - began
        return messages

    def take_seconds(self) -> float:
        """Return the seconds spent on decoding since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class _MessageBatch(UnpackedBatch):
    """A record batch with its messages as elements, which are decoded as they are taken, some at once."""

    def __init__(self, reading: MessageReading, partition: Partition, batch: Any, data: memoryview) -> None:
        super().__init__(batch, data)
        self._reading = reading
        self._partition = partition

    @override
    def __iter__(self) -> Iterator[Any]:
        batch = RecordBatch(self._partition, self.data)
        unpacked = unpack(self.data, self.batch, DECODED_AT_ONCE)
        return chain.from_iterable(map(partial(self._reading.decode, batch), unpacked))


class RecordBatch:
    """A record batch as it was fetched: the source of its messages.

    `last` is the last record decoded so far: the last one of a poll is needed again, for the position's mark.
    """

    __slots__ = ("_begun", "_data", "_passed", "last", "topic_partition")

    def __init__(self, topic_partition: Partition, data: memoryview) -> None:
        self.topic_partition = topic_partition
        self.last: PlainRecord | None = None
        self._data = data
        self._begun: Iterator[UnpackedRecord] = iter(())
        self._passed = -1

    def record(self, offset: int) -> PlainRecord:
        """Unpack the record at this offset. Records in order take one pass over the batch in all."""
        last = self.last
        if last is not None and last.offset == offset:
            return last
        if offset <= self._passed or self._passed < 0:
            self._begun = chain.from_iterable(unpack(self._data))
        self._passed = offset
        return plain(self.topic_partition, next(record for record in self._begun if record.offset == offset))
