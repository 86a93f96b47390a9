"""Header names that are not UTF-8: some clients send them, and aiokafka's reader and writer fail on them.

aiokafka decodes a name while it unpacks its batch; one invalid name makes the batch, and so the partition,
permanently unreadable. Here such a batch is unpacked again, with the invalid bytes escaped as Python escapes them in
file names (`surrogateescape`); `batch_builders` writes them back byte for byte.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from struct import Struct
from typing import Any, NamedTuple, TypeVar

import aiokafka.consumer.fetcher
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from worker.kafka.leader_changes import LeaderChanges
from worker.messages.record import Header, PlainRecord

T = TypeVar("T")

MAGIC_AT, WITH_EPOCH, EPOCH_AT = 16, 2, 12
"""In a batch's header: offset of the format version, first version with an epoch, offset of the epoch."""
_EPOCH = Struct(">i")


def install() -> None:
    """Make every aiokafka consumer of this process read such names, and return `PlainRecord`s.

    With the `value_deserializer` `ValueBatch`, it returns those; with a `LeaderChanges`, it updates that.
    """
    aiokafka.consumer.fetcher.MemoryRecords = _Records
    aiokafka.consumer.fetcher.PartitionRecords = _partition_records


class ValueBatch(NamedTuple):
    """The offsets and values of the records of one batch, at least one: at half the cost of records.

    A batch is complete: it may begin before the requested offset. Its `checksum` covers its whole content, with the
    producer id and timestamps. `tombstones` are the offsets and keys of the records without a value.
    """

    offsets: list[int]
    values: list[bytes | None]
    checksum: int
    tombstones: tuple[tuple[int, bytes | None], ...] = ()

    @property
    def offset(self) -> int:
        """Offset of the last record."""
        return self.offsets[-1]

    def since(self, offset: int) -> ValueBatch:
        """Return the batch without records before this offset: the log may begin within a batch."""
        begin = bisect_left(self.offsets, offset)
        if not begin:
            return self
        tombstones = tuple(tombstone for tombstone in self.tombstones if tombstone[0] >= offset)
        return ValueBatch(self.offsets[begin:], self.values[begin:], self.checksum, tombstones)


def are_plain(headers: Sequence[Header]) -> bool:
    """Return whether aiokafka can encode every header name."""
    names = "".join([name for name, _ in headers])
    return names.isascii() or not _has_escapes(names)


def _has_escapes(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


class _EscapedBytes(bytearray):
    """Bytes that decode without an error."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _EscapedBytes(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:  # noqa: ARG002
        return super().decode(encoding, "surrogateescape")


class _EscapedBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _EscapedBytes(self._buffer)


class _Batch:
    """A batch unpacked by aiokafka's own reader, or by the escaping one if that fails."""

    def __init__(self, batch: Any, source: memoryview) -> None:
        self._batch = batch
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._unpacked(list))

    def _unpacked(self, unpack: Callable[[Iterable[Any]], T]) -> T:
        try:
            return unpack(self._batch)
        except (UnicodeDecodeError, CorruptRecordException) as error:
            if not isinstance(error.__cause__ or error, UnicodeDecodeError):
                raise
            return unpack(_EscapedBatch(self._source))


class _ValuesOfBatch(_Batch):
    """A batch with a single element, its `ValueBatch`."""

    def __iter__(self) -> Iterator[ValueBatch]:
        if found := self._unpacked(list):
            values = [record.value for record in found]
            tombstones = tuple((record.offset, record.key) for record in found if record.value is None)
            yield ValueBatch([record.offset for record in found], values, self._batch.crc, tombstones)


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    batch: type[_Batch] = _Batch
    read_epoch: Callable[[int], None] | None = None

    def next_batch(self) -> Any:
        source = self._next_slice
        if self.read_epoch is not None and (epoch := self.next_epoch) is not None:
            self.read_epoch(epoch)
        return self.batch(super().next_batch(), source) if source is not None else None

    @property
    def next_epoch(self) -> int | None:
        """The leader's epoch in the header of the next batch, None if there is none."""
        header = self._next_slice
        if header is None or header[MAGIC_AT] < WITH_EPOCH:
            return None
        epoch: int = _EPOCH.unpack_from(header, EPOCH_AT)[0]
        return epoch


def _partition_records(place: TopicPartition, records: _Records, *options: Any) -> PartitionRecords:
    if leaders := next((option for option in options if isinstance(option, LeaderChanges)), None):
        if (epoch := records.next_epoch) is not None:
            leaders.begin_fetch(place, epoch)
        records.read_epoch = partial(leaders.read_batch, place)
    if ValueBatch not in options:
        return _PlainRecords(place, records, *options)
    records.batch = _ValuesOfBatch
    return _ValueBatches(place, records, *options)


class _ValueBatches(PartitionRecords):  # type: ignore[misc]
    def _consumer_record(self, place: TopicPartition, record: ValueBatch) -> ValueBatch:  # noqa: ARG002
        return record


class _PlainRecords(PartitionRecords):  # type: ignore[misc]
    def _consumer_record(self, place: TopicPartition, record: Any) -> PlainRecord:
        # Takes a quarter of the time of aiokafka's own record, for every record.
        return PlainRecord(
            place.topic,
            place.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            record.headers,
        )
