"""A Kafka record as it was received, and its coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

Header = tuple[str, bytes | None]
TopicPartition = tuple[str, int]


class Record(Protocol):
    """The attributes of a Kafka record that the worker uses.

    `timestamp` is in milliseconds since 1970, or -1 if the producer set none. Key, value and header values are bytes
    as received, or None.
    """

    @property
    def topic(self) -> str: ...  # noqa: D102 - see the class
    @property
    def partition(self) -> int: ...  # noqa: D102 - see the class
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


class PlainRecord(msgspec.Struct, frozen=True, gc=False):
    """A record from the consumer or from the store."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


def coordinates(record: Record) -> str:
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
