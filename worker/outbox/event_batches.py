"""Record batches of events: the headers common to all are encoded once, those of the cause when it was applied."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from typing_extensions import override

from worker.kafka.batch_builders import RecordWriter, WrittenBatchBuilder
from worker.messages.churned_event import Envelope, customer_key
from worker.messages.encoded_headers import COUNT_AT, HEADERS_AT, VARINTS, encode, encoded_name, varint
from worker.messages.outgoing import Outgoing

_ID, _SUBJECT = encoded_name("ce_id"), encoded_name("ce_subject")


class EventBatch(WrittenBatchBuilder):
    """A batch of events in a transaction. All its records have the time at which it was created."""

    def __init__(self, envelope: Envelope, batch_size: int, codec: int) -> None:
        self._writer = _Writer(batch_size, codec, is_transactional=1)
        super().__init__(self._writer)
        self._content = self._writer.content
        self._batch_size = batch_size
        self._count = 0
        self._common_and_id = envelope.common[HEADERS_AT:] + _ID
        self._common_count = envelope.common[COUNT_AT] + 2  # with id and subject

    def add(self, event: Outgoing) -> bool:
        """Add the event. Returns False if the batch is closed or has no room for it; the first one always has."""
        offset, content = self._count, self._content
        key, event_id, value = customer_key(event), event.id.encode(), event.value
        headers = event.encoded_headers or encode(event.headers)
        key_length = VARINTS[len(key)]
        record = b"".join(
            (
                b"\0\0",  # no attributes, the time of the batch
                VARINTS[offset],
                key_length,
                key,
                VARINTS[len(value)] if value and len(value) < len(VARINTS) else varint(_length(value)),
                value or b"",
                VARINTS[self._common_count + headers[COUNT_AT]],
                self._common_and_id,
                VARINTS[len(event_id)],
                event_id,
                _SUBJECT,
                key_length,
                key,
                headers[HEADERS_AT:],
            )
        )
        size = len(record)
        length = VARINTS[size] if size < len(VARINTS) else varint(size)
        if self._closed or (offset and len(content) + len(length) + size > self._batch_size):
            return False
        content += length
        content += record
        self._count = offset + 1
        return True

    @override
    def record_count(self) -> int:
        return self._count

    @override
    def _build(self) -> bytearray:
        self._writer.end(self._count)
        built: bytearray = super()._build()
        return built


def _length(value: bytes | None) -> int:
    return -1 if value is None else len(value)


class _Writer(RecordWriter):
    """Writer of the header and the checksum of a batch with such content."""

    def __init__(self, batch_size: int, codec: int, *, is_transactional: int) -> None:
        super().__init__(batch_size, codec, is_transactional=is_transactional)
        self._first_timestamp = self._max_timestamp = now_ms()

    @property
    def content(self) -> bytearray:
        """The bytes to which records are added; the header has its room already."""
        content: bytearray = self._buffer
        return content

    def end(self, count: int) -> None:
        """Set the number of records."""
        self._num_records, self._last_offset = count, count - 1


def event_batches(
    events: Sequence[Outgoing], partitions: Sequence[int], begin: Callable[[Outgoing], EventBatch], largest: int
) -> Iterator[tuple[int, EventBatch]]:
    """Yield batches with their partitions, in order within each; `partitions` has that of each event.

    `begin` begins a batch with an event, and an event with a value over `largest` bytes begins one. Events are read in
    their order in memory: read partition by partition, they take a third more time for cache misses.
    """
    batches: dict[int, EventBatch] = {}
    for partition, event in zip(partitions, events, strict=True):
        batch = batches.get(partition)
        if batch is None or len(event.value or b"") > largest or not batch.add(event):
            if batch is not None:
                yield partition, batch
            batches[partition] = begin(event)
    yield from batches.items()


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return int(time.time() * 1000)
