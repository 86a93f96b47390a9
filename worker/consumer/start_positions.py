"""Start positions of assigned partitions: the store's, after a comparison with the logs and the group's offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from worker.consumer.commit_check import CommitCheck
from worker.consumer.start_offset import MIRROR, Partition, starting_offset
from worker.kafka import clients as kafka
from worker.kafka.leader_changes import LeaderChanges
from worker.kafka.log_reader import read_marks
from worker.kafka.topic_metadata import TopicMetadata, describe_topics
from worker.messages.log_identity import difference
from worker.settings import Settings
from worker.stores.errors import StoreError
from worker.stores.port import Store
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)


class StartPosition(NamedTuple):
    """Start of a partition: `offset` to read from, the `stored` position, and the `end` of its log now."""

    offset: int
    stored: int
    end: int


class StartPositions:
    """Finder of start positions, which claims the partitions in the store."""

    def __init__(self, settings: Settings, store: Store, thread: StoreThread, commits: CommitCheck) -> None:
        self._settings = settings
        self._store = store
        self._thread = thread
        self._commits = commits
        self._begins: dict[TopicPartition, int] = {}  # of logs that the store had no position of

    async def find(
        self,
        consumer: AIOKafkaConsumer,
        assigned: AbstractSet[TopicPartition],
        leaders: LeaderChanges,
        *,
        trusts_committed: bool,
    ) -> tuple[dict[TopicPartition, StartPosition], dict[str, UUID]]:
        """Return the start of each partition, and the ids of the topics whose logs were compared.

        Changes of `leaders` are counted from here on. Without `trusts_committed` the group's offsets are ignored.
        Raises `PositionRefused` if records would be skipped, `KafkaError`, `Refusal` and `StoreError`.
        """
        topics = await describe_topics(consumer, {partition.topic for partition in assigned})
        stored = await self._claim(assigned)
        if not assigned:  # more workers than partitions: this one has none until another stops
            return {}, {}
        committed, (begins, ends) = await asyncio.gather(self._committed(assigned), _bounds(consumer, assigned))
        leaders.start(assigned)
        differences = await self._differences(topics, begins, ends)
        starts = {}
        for partition in sorted(assigned):
            offset = committed.get(partition)
            found = Partition(
                name=f"{partition.topic}/{partition.partition}",
                stored=self._stored(partition, stored.get(tuple(partition)), begins[partition]),
                committed=offset.offset if offset else None,
                is_mirror=offset is not None and (offset.metadata == MIRROR or not trusts_committed),
                begin=begins[partition],
                end=ends[partition],
                difference=differences.get(partition),
            )
            starts[partition] = await self._start(partition, found)
        topic_ids = {topic.name: topic.topic_id for topic in topics.values() if topic.topic_id is not None}
        logs = {tuple(each): topic_ids[each.topic] for each in assigned if each.topic in topic_ids}
        await self._thread.call(self._store.identify_logs, logs)
        return starts, topic_ids

    def _stored(self, partition: TopicPartition, stored: int | None, begin: int) -> int | None:
        """Return the stored position; where the store has lost it, the begin of the log that was read with it.

        A partition without a position is read from the log's begin, whatever was deleted before.
        """
        if stored is not None:
            return stored
        first = self._begins.setdefault(partition, begin)
        return first if first < begin else None

    async def _committed(self, assigned: AbstractSet[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        async with kafka.admin_client(self._settings.kafka) as admin:
            return await kafka.group_offsets(admin, self._settings.kafka.group_id, assigned)

    async def _claim(self, assigned: AbstractSet[TopicPartition]) -> Mapping[tuple[str, int], int]:
        """Claim the partitions in the store, which fences batches of their previous owner. Return all positions."""
        try:
            await self._commits.run()  # a claim forgets what was committed before
            return await self._thread.call(self._store.claim, [tuple(partition) for partition in assigned])
        except StoreError:
            await self._thread.call(self._store.reopen)
            raise

    async def _differences(
        self,
        topics: Mapping[str, TopicMetadata],
        begins: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, str | None]:
        """Return the differences from the logs that the store's positions belong to; None if none was found."""
        stored = await self._thread.call(self._store.logs)
        logs = {partition: stored[tuple(partition)] for partition in ends if tuple(partition) in stored}
        offsets = {
            partition: known.last.offset
            for partition, known in logs.items()
            if known.last is not None and begins[partition] <= known.last.offset < ends[partition]
        }
        found = await read_marks(self._settings.kafka, offsets)
        return {
            partition: difference(
                known,
                topics[partition.topic].topic_id if partition.topic in topics else None,
                found.get(partition),
            )
            for partition, known in logs.items()
        }

    async def _start(self, partition: TopicPartition, found: Partition) -> StartPosition:
        safety = self._settings.safety
        offset = starting_offset(
            found, allow_skip_forward=safety.allow_skip_forward, allow_lost_records=safety.allow_lost_records
        )
        if found.is_another_log:
            await self._thread.call(self._store.forget_position, tuple(partition), offset)
        if offset != (found.stored or 0):
            log.info(
                "start offset differs from stored position", partition=found.name, offset=offset, stored=found.stored
            )
        return StartPosition(offset, offset if found.is_another_log else found.stored or 0, found.end)


async def _bounds(
    consumer: AIOKafkaConsumer, assigned: AbstractSet[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Return the first and the end offset of each log, in this order: meanwhile a log may only grow."""
    begins = await consumer.beginning_offsets(assigned)
    return begins, await consumer.end_offsets(assigned)
