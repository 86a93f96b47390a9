"""A Kafka record as it was received, and its coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

Header = tuple[str, bytes | None]
TopicPartition = tuple[str, int]


class UnpackedRecord(Protocol):
    """A record as its record batch holds it, without topic and partition.

    `timestamp` is in milliseconds since 1970, or -1 if the producer set none. Key, value and header values are bytes
    as received, or None.
    """

    @property
    def offset(self) -> int: ...  # noqa: D102 - see the class
    @property
    def timestamp(self) -> int: ...  # noqa: D102 - see the class
    @property
    def key(self) -> bytes | None: ...  # noqa: D102 - see the class
    @property
    def value(self) -> bytes | None: ...  # noqa: D102 - see the class
    @property
    def headers(self) -> Sequence[Header]: ...  # noqa: D102 - see the class


class Located(Protocol):
    """Anything with the coordinates of a record."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - see the class
    @property
    def partition(self) -> int: ...  # noqa: D102 - see the class
    @property
    def offset(self) -> int: ...  # noqa: D102 - see the class


class RecordSource(Protocol):
    """The records of one partition that messages were decoded from: a record batch, or one record.

    `record` returns the record at one of its offsets, as it was received.
    """

    @property
    def topic_partition(self) -> TopicPartition: ...  # noqa: D102 - see the class
    def record(self, offset: int) -> Record: ...  # noqa: D102 - see the class


class Record(UnpackedRecord, Located, RecordSource, Protocol):
    """The attributes of a Kafka record that the worker uses. It is the source of its own message."""


class PlainRecord(msgspec.Struct, frozen=True, gc=False):
    """A record from the consumer or from the store."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]

    @property
    def topic_partition(self) -> TopicPartition:
        """Topic and partition."""
        return self.topic, self.partition

    def record(self, offset: int) -> PlainRecord:  # noqa: ARG002 - it has one
        """Return the record itself."""
        return self


def plain(topic_partition: TopicPartition, record: UnpackedRecord) -> PlainRecord:
    """Return a record of this partition."""
    return PlainRecord(*topic_partition, record.offset, record.timestamp, record.key, record.value, record.headers)


def coordinates(record: Located) -> str:
    """Format the coordinates of the record as `topic/partition/offset`."""
    return f"{record.topic}/{record.partition}/{record.offset}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(timestamp_ms: int) -> str:
    """Format a record's timestamp as RFC 3339 in UTC; a value outside the calendar becomes the nearest valid one."""
    try:
        moment = _EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        return "9999-12-31T23:59:59.999Z" if timestamp_ms > 0 else "0001-01-01T00:00:00.000Z"
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
