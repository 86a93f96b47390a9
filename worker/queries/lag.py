"""Lag of each input partition, in offsets and in seconds, and the members of the worker's group."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from worker.kafka import clients as kafka
from worker.kafka.group_membership import describe_membership
from worker.kafka.log_reader import committed_reader
from worker.kafka.topic_metadata import describe_topics
from worker.messages import record as plain
from worker.settings import Settings

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OLDEST_SECONDS = 2.0
"""Time limit for reading the first unread records. What has not been read by then is left out."""
OLDEST_POLL_MS = 50
FETCH_BYTES = 64 * 1024
"""Fetch size per partition to read its first record. A broker returns at least one whole batch."""


class PartitionLag(msgspec.Struct, frozen=True):
    """An input partition. `position` is the next offset, None if the worker has never read the partition.

    `lag` counts offsets from the first unread record: transaction markers and aborted records before it do not count.
    `lag_seconds` is the age of that record, None if there is none or its timestamp is unknown. `note` names a problem
    of the position.
    """

    topic: str
    partition: int
    position: int | None
    end: int
    lag: int
    lag_seconds: float | None
    note: str = ""


class GroupMember(msgspec.Struct, frozen=True):
    """A member of the group: its host as the broker sees it, and its number of input partitions."""

    host: str
    partitions: int


class InputStatus(msgspec.Struct, frozen=True):
    """State of the input topics. `members` and `workers` are None if the group coordinator is not available.

    `unreadable` has the reason for each topic that cannot be read.
    """

    partitions: list[PartitionLag]
    missing_topics: list[str]
    members: int | None
    workers: list[GroupMember] | None
    unreadable: dict[str, str] = {}


async def read_input_status(settings: Settings, positions: Mapping[plain.TopicPartition, int]) -> InputStatus:
    """Compare the input partitions with the store's positions. Raises `Refusal` if Kafka cannot be reached."""
    inputs = settings.topics.inputs
    async with kafka.admin_client(settings.kafka) as admin:
        topics = await describe_topics(admin, inputs)
        workers = await _workers(admin, settings.kafka.group_id)
    partitions = [TopicPartition(topic, number) for topic in inputs for number in sorted(topics[topic].partitions)]
    missing = [topic for topic in inputs if topics[topic].error is UnknownTopicOrPartitionError]
    unreadable = {name: why for name, topic in topics.items() if (why := topic.unreadable_because) is not None}
    lags = await _lags(settings, partitions, positions, unreadable) if partitions else []
    return InputStatus(lags, missing, None if workers is None else len(workers), workers, unreadable)


async def _workers(admin: AIOKafkaAdminClient, group_id: str) -> list[GroupMember] | None:
    try:
        group = await describe_membership(admin, group_id)
    except (KafkaError, NotImplementedError):
        return None
    return sorted((GroupMember(each.host, len(each.partitions)) for each in group.members), key=_by_host)


async def _lags(
    settings: Settings,
    partitions: Sequence[TopicPartition],
    positions: Mapping[plain.TopicPartition, int],
    unreadable: Mapping[str, str],
) -> list[PartitionLag]:
    async with committed_reader(settings.kafka, FETCH_BYTES) as reader:
        begins, ends = await asyncio.gather(reader.beginning_offsets(partitions), reader.end_offsets(partitions))
        stored = {each: positions.get((each.topic, each.partition)) for each in partitions}
        starts = {each: max(begins[each], stored[each] or 0) for each in partitions}
        unread = {p: start for p, start in starts.items() if start < ends[p] and p.topic not in unreadable}
        oldest = await _first_unread(reader, unread, ends) if unread else {}
    return [
        PartitionLag(
            each.topic,
            each.partition,
            stored[each],
            ends[each],
            max(0, ends[each] - (oldest[each].offset if each in oldest else starts[each])),
            _seconds_since(oldest[each].sent_at if each in oldest else None),
            unreadable.get(each.topic) or _note(stored[each], begins[each], ends[each]),
        )
        for each in partitions
    ]


def _by_host(member: GroupMember) -> tuple[str, int]:
    return member.host, -member.partitions


def _seconds_since(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, round((datetime.now(UTC) - moment).total_seconds(), 1))


def _note(position: int | None, begin: int, end: int) -> str:
    if position is not None and position < begin:
        return f"{begin - position:,} records were deleted before they were read"
    if position is not None and position > end:
        return "the topic ends before the position: it was recreated or truncated"
    return ""


class _FirstUnread(NamedTuple):
    """The first unread record of a partition; the end of the log, without a timestamp, if there is none."""

    offset: int
    sent_at: datetime | None


async def _first_unread(
    reader: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, _FirstUnread]:
    """Return the first record at or after each of these offsets. What takes too long is left out."""
    reader.assign(list(starts))
    for partition, start in starts.items():
        reader.seek(partition, start)
    found: dict[TopicPartition, _FirstUnread] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(OLDEST_SECONDS):
            while left := [partition for partition in starts if partition not in found]:
                await _poll_first(reader, left, ends, found)
    return found


async def _poll_first(
    reader: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    ends: Mapping[TopicPartition, int],
    found: dict[TopicPartition, _FirstUnread],
) -> None:
    """Poll once, and add the partitions whose first record came, or that have been read to their end, to `found`."""
    polled = await reader.getmany(*partitions, timeout_ms=OLDEST_POLL_MS, max_records=1)
    found.update((p, _FirstUnread(records[0].offset, _sent_at(records))) for p, records in polled.items() if records)
    for partition in partitions:
        if partition not in found and await reader.position(partition) >= ends[partition]:
            found[partition] = _FirstUnread(ends[partition], None)


def _sent_at(records: Sequence[plain.Record]) -> datetime | None:
    try:
        return EPOCH + timedelta(milliseconds=records[0].timestamp) if records[0].timestamp >= 0 else None
    except OverflowError:  # a producer may set any timestamp
        return None
