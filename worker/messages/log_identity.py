"""The identity of the log that a position belongs to: the id of its topic, and the last record read from it.

Offsets alone do not identify a log. A topic that is deleted and created again has the same name and offsets from 0 on,
and another topic id (KIP-516). A log that was truncated (unclean leader election, a broker's disk restored from a copy)
keeps its topic id, and holds other records at the same offsets.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from worker.messages.record import Record


class RecordMark(NamedTuple):
    """A record identified by its offset and a fingerprint of its timestamp, key and value (a signed 64-bit integer)."""

    offset: int
    fingerprint: int


class LogIdentity(NamedTuple):
    """The log in which a position is an offset.

    `topic_id` is None if the broker returns none (Kafka before 2.8). `last` is the last record read from it, None if
    none was read since positions include it.
    """

    topic_id: UUID | None = None
    last: RecordMark | None = None


def mark_of(record: Record) -> RecordMark:
    """Compute the mark of a record."""
    digest = blake2b(record.timestamp.to_bytes(8, "big", signed=True), digest_size=8)
    for part in (record.key, record.value):
        digest.update(b"-" if part is None else len(part).to_bytes(8, "big") + part)
    return RecordMark(record.offset, int.from_bytes(digest.digest(), "big", signed=True))


def difference(stored: LogIdentity, topic_id: UUID | None, record: RecordMark | None) -> str | None:
    """Describe the difference between a log and the stored one; None if there is none.

    `topic_id` is the topic's now, `record` the one now at the offset of the last record read; None: not known.
    """
    if stored.topic_id is not None and topic_id is not None and stored.topic_id != topic_id:
        return f"the topic was deleted and created again (its id was {stored.topic_id} and is {topic_id})"
    if stored.last is not None and record is not None and stored.last != record:
        return f"the record at offset {record.offset} is another one: the log was truncated and written again"
    return None
