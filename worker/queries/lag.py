"""How far the worker is behind on each input partition, in records and in time; and who is in its group."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from worker.kafka import clients as kafka
from worker.kafka.group_membership import describe_membership
from worker.kafka.log_reader import committed_reader
from worker.kafka.topic_metadata import describe_topics
from worker.messages import record as plain
from worker.settings import Settings

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OLDEST_SECONDS = 2.0
"""For looking at the oldest unread records: what is not known by then is left out."""
OLDEST_POLL_MS = 50
FETCH_BYTES = 64 * 1024
"""Of a partition, to look at its first record; a broker gives a whole batch of records at least."""


class PartitionLag(msgspec.Struct, frozen=True):
    """An input partition. `position` is the next offset the worker takes, None where it has never read it.

    `lag` is in offsets from the first unread record on: the markers of transactions before it, and aborted records, do
    not wait. `lag_seconds` is how long ago it was sent: None where there is none, or where that cannot be told.
    `note` says where something is wrong with the position.
    """

    topic: str
    partition: int
    position: int | None
    end: int
    lag: int
    lag_seconds: float | None
    note: str = ""


class GroupMember(msgspec.Struct, frozen=True):
    """A worker of the group: its machine as the broker sees it, and how many input partitions it has."""

    host: str
    partitions: int


class InputStatus(msgspec.Struct, frozen=True):
    """The input topics as Kafka has them. Who is in the group is None where its coordinator does not say.

    `unreadable` says why topics cannot be read.
    """

    partitions: list[PartitionLag]
    missing_topics: list[str]
    members: int | None
    workers: list[GroupMember] | None
    unreadable: dict[str, str] = {}


async def look_at_inputs(settings: Settings, positions: Mapping[plain.TopicPartition, int]) -> InputStatus:
    """The input partitions, beside the store's positions. Raises `Refusal` when Kafka cannot be reached."""
    inputs = settings.topics.inputs
    async with kafka.admin_client(settings.kafka) as admin:
        topics = await describe_topics(admin, inputs)
        try:
            group = await describe_membership(admin, settings.kafka.group_id)
            workers = sorted((GroupMember(each.host, len(each.partitions)) for each in group.members), key=_by_host)
        except (KafkaError, NotImplementedError):
            workers = None
    members = None if workers is None else len(workers)
    places = [TopicPartition(topic, number) for topic in inputs for number in sorted(topics[topic].partitions)]
    missing = [topic for topic in inputs if topics[topic].error is UnknownTopicOrPartitionError]
    unreadable = {name: why for name, topic in topics.items() if (why := topic.unreadable_because) is not None}
    if not places:
        return InputStatus([], missing, members, workers, unreadable)
    async with committed_reader(settings.kafka, FETCH_BYTES) as reader:
        begins, ends = await asyncio.gather(reader.beginning_offsets(places), reader.end_offsets(places))
        stored = {place: positions.get((place.topic, place.partition)) for place in places}
        starts = {place: max(begins[place], stored[place] or 0) for place in places}
        unread = {p: start for p, start in starts.items() if start < ends[p] and p.topic not in unreadable}
        oldest = await _first_unread(reader, unread, ends) if unread else {}
    return InputStatus(
        [
            PartitionLag(
                place.topic,
                place.partition,
                stored[place],
                ends[place],
                max(0, ends[place] - (oldest[place].offset if place in oldest else starts[place])),
                _seconds_since(oldest[place].sent_at if place in oldest else None),
                unreadable.get(place.topic) or _note(stored[place], begins[place], ends[place]),
            )
            for place in places
        ],
        missing,
        members,
        workers,
        unreadable,
    )


def _by_host(member: GroupMember) -> tuple[str, int]:
    return member.host, -member.partitions


def _seconds_since(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, round((datetime.now(UTC) - moment).total_seconds(), 1))


def _note(position: int | None, begin: int, end: int) -> str:
    if position is not None and position < begin:
        return f"{begin - position:,} records were deleted before they were read"
    if position is not None and position > end:
        return "the topic ends before the position: it was made anew, or cut"
    return ""


class _FirstUnread(NamedTuple):
    """The first unread record of a partition; the end of the log, and no time, where there is none."""

    offset: int
    sent_at: datetime | None


async def _first_unread(
    reader: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, _FirstUnread]:
    """The first record from each of these offsets on, of those that are soon at hand."""
    reader.assign(list(starts))
    for place, start in starts.items():
        reader.seek(place, start)
    found: dict[TopicPartition, _FirstUnread] = {}
    try:
        async with asyncio.timeout(OLDEST_SECONDS):
            while left := [place for place in starts if place not in found]:
                records = await reader.getmany(*left, timeout_ms=OLDEST_POLL_MS, max_records=1)
                found.update(
                    (p, _FirstUnread(those[0].offset, _sent_at(those))) for p, those in records.items() if those
                )
                for place in left:
                    if place not in found and await reader.position(place) >= ends[place]:
                        found[place] = _FirstUnread(ends[place], None)
    except TimeoutError:
        pass
    return found


def _sent_at(records: Sequence[plain.Record]) -> datetime | None:
    try:
        return EPOCH + timedelta(milliseconds=records[0].timestamp) if records[0].timestamp >= 0 else None
    except OverflowError:  # its sender can say anything
        return None
