"""Unpacking of record batches: into plain records, values, or decoded messages.

aiokafka decodes a header name while it unpacks its batch; one that is not UTF-8, which some clients send, makes the
batch, and so the partition, permanently unreadable. Here such a batch is unpacked again, with the invalid bytes escaped
as Python escapes them in file names (`surrogateescape`); `batch_builders` writes them back byte for byte.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from struct import Struct
from typing import Any, NamedTuple

import aiokafka.consumer.fetcher
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy
from typing_extensions import override

from worker.messages.record import Header, PlainRecord, UnpackedRecord, plain

MAGIC_AT, WITH_EPOCH, EPOCH_AT = 16, 2, 12
"""In a batch's header: offset of the format version, first version with an epoch, offset of the epoch."""
_EPOCH = Struct(">i")


def install() -> None:
    """Make every aiokafka consumer of this process read such names, and return `PlainRecord`s.

    With the `value_deserializer` `ValueBatch`, it returns those; with a `Reading`, what that makes of them.
    """
    aiokafka.consumer.fetcher.MemoryRecords = FetchedRecords
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


class _Long(int):
    """A 64-bit integer whose sums overflow as they do in Java, and in aiokafka's usual reader."""

    __slots__ = ()

    def __add__(self, other: int) -> int:
        return (int(self) + other + 2**63) % 2**64 - 2**63


class _EscapedBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    @property
    def first_timestamp(self) -> int:
        return _Long(super().first_timestamp)

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _EscapedBytes(self._buffer)


def unpack(data: memoryview, batch: Any = None, at_once: int = 100) -> Iterator[list[UnpackedRecord]]:
    """Yield the records of a record batch, so many at once.

    aiokafka's own reader unpacks them, or the escaping one once that fails on a name. `batch` is aiokafka's reader of
    the batch, if there is one that was not used yet.
    """
    records: Iterator[UnpackedRecord] = chain(batch or _MemoryRecordsPy(data).next_batch())
    done = 0
    while True:
        try:
            some = list(islice(records, at_once))
        except (UnicodeDecodeError, CorruptRecordException) as error:
            if not isinstance(error.__cause__ or error, UnicodeDecodeError):
                raise
            records = islice(_EscapedBatch(data), done, None)
            continue
        if not some:
            return
        done += len(some)
        yield some


class UnpackedBatch:
    """A record batch for aiokafka's fetcher, with the records of `unpack`."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self.batch = batch
        self.data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batch, name)

    def __next__(self) -> Any:
        return next(self.batch)

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(unpack(self.data, self.batch))


class _ValuesOfBatch(UnpackedBatch):
    """A batch with a single element, its `ValueBatch`."""

    def __iter__(self) -> Iterator[ValueBatch]:
        if found := list(chain.from_iterable(unpack(self.data, self.batch))):
            values = [record.value for record in found]
            tombstones = tuple((record.offset, record.key) for record in found if record.value is None)
            yield ValueBatch([record.offset for record in found], values, self.batch.crc, tombstones)


class Reading(ABC):
    """Reading of record batches into other elements than records, by a consumer with this `value_deserializer`."""

    def __call__(self, value: bytes) -> bytes:
        """Return a value unchanged: aiokafka requires a function."""
        return value

    @abstractmethod
    def begin(self, partition: TopicPartition, fetched: FetchedRecords) -> None:
        """Prepare the reading of what a fetch returned of a partition: set its `batch` and `read_epoch`."""


class FetchedRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """The record batches that a fetch returned of a partition.

    `batch` makes an element of aiokafka's reader of a batch and the batch itself; `read_epoch` is called with the
    leader's epoch of each batch before it is read.
    """

    batch: Callable[[Any, memoryview], UnpackedBatch] = UnpackedBatch
    read_epoch: Callable[[int], None] | None = None

    @override
    def next_batch(self) -> Any:
        data = self._next_slice
        if self.read_epoch is not None and (epoch := self.next_epoch) is not None:
            self.read_epoch(epoch)
        return self.batch(super().next_batch(), data) if data is not None else None

    @property
    def next_epoch(self) -> int | None:
        """The leader's epoch in the header of the next batch, None if there is none."""
        header = self._next_slice
        if header is None or header[MAGIC_AT] < WITH_EPOCH:
            return None
        epoch: int = _EPOCH.unpack_from(header, EPOCH_AT)[0]
        return epoch


def _partition_records(partition: TopicPartition, fetched: FetchedRecords, *options: Any) -> PartitionRecords:
    if reading := next((option for option in options if isinstance(option, Reading)), None):
        reading.begin(partition, fetched)
    elif ValueBatch in options:
        fetched.batch = _ValuesOfBatch
    else:
        return _PlainRecords(partition, fetched, *options)
    return _Elements(partition, fetched, *options)


class _Elements(PartitionRecords):  # type: ignore[misc]
    def __iter__(self) -> Iterator[Any]:
        return self._records_iterator or iter(())  # saves a call for each element

    def _consumer_record(self, partition: TopicPartition, element: Any) -> Any:  # noqa: ARG002
        return element


class _PlainRecords(PartitionRecords):  # type: ignore[misc]
    def _consumer_record(self, partition: TopicPartition, record: Any) -> PlainRecord:
        return plain(partition, record)  # takes a quarter of the time of aiokafka's own record
