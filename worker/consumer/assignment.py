"""What happens when the group gives partitions to this worker: reading starts where the store left off."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential
from typing_extensions import override

from worker.consumer.offset_commits import OffsetCommits
from worker.consumer.start_offset import MIRROR, Partition, starting_offset
from worker.errors import PositionRefused, Refusal, Stop
from worker.failpoints import reach
from worker.kafka import clients as kafka
from worker.kafka.errors import in_words
from worker.kafka.group_membership import client_name, describe_membership, foreign_members
from worker.kafka.leader_changes import LeaderChanges, leader_connection
from worker.kafka.log_reader import read_marks
from worker.kafka.topic_id_fetches import TopicIdFetches
from worker.kafka.topic_metadata import TopicMetadata, describe_topics
from worker.logs.exceptions import described
from worker.messages.log_identity import difference
from worker.settings import Settings
from worker.stores.port import NewerStoreError, Store, StoreError
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

LOOK_FOR_SECONDS = 30.0
ASK_SECONDS = 5.0


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """The partitions this worker has. `in_hand` is held while a batch is being applied.

    `ends` is where each partition's log ended when it was assigned, at `set_at` of the monotonic clock. `number` tells
    one assignment from the next.
    """

    def __init__(
        self, settings: Settings, store: Store, thread: StoreThread, offsets: OffsetCommits, stop: Stop
    ) -> None:
        self._settings = settings
        self._store = store
        self._thread = thread
        self._offsets = offsets
        self._stop = stop
        self._backlog: dict[TopicPartition, int] = {}
        self._held: set[TopicPartition] = set()
        self._left: int | None = None  # the number of the assignment of which nothing more is taken
        self.subscriber: Any = None
        self.in_hand = asyncio.Lock()
        self.is_set = asyncio.Event()
        self.set_at = time.monotonic()
        self.number = 0
        self.ends: dict[TopicPartition, int] = {}
        self.leaders = LeaderChanges(lambda partition: leader_connection(self.consumer, partition))
        self._fetches = TopicIdFetches()
        self.trusts_committed = True  # False once a foreign member has been in the group: it commits offsets, too

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        """The partitions that this worker has, once their positions are set."""
        return frozenset(self.ends) if self.is_set.is_set() else frozenset()

    @property
    def held(self) -> frozenset[TopicPartition]:
        """The partitions that wait for the backlog of another."""
        return frozenset(self._held)

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The Kafka consumer that FastStream's subscriber reads from, while that runs."""
        return self.subscriber.consumer

    def is_still(self, number: int) -> bool:
        """Whether this is the assignment in force, its positions set."""
        return self.is_set.is_set() and self.number == number

    @override
    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Finish what is in hand before the partitions go."""
        self.is_set.clear()
        self.number += 1
        async with self.in_hand:
            await self._offsets.commit(self.consumer)
        self._forget()

    @override
    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Start each partition where the store left off."""
        await self._begin(assigned)

    def leave(self) -> None:
        """Take nothing more of the partitions: in the store another worker has claimed them."""
        self.is_set.clear()
        self.number += 1  # what was fetched behind a batch that is left out would pass over it
        self._left = self.number

    async def take_back(self) -> None:
        """Claim the partitions that were left, where the group says that they are this worker's all the same.

        A claim can reach the store late, when whoever made it is gone: nobody would go on with the partitions.
        """
        number = self.number
        if self._left != number:
            return
        async with self.in_hand:
            # Else the group gives them to another: a rebalance has begun, or will.
            if (
                self.number == number
                and await self._offsets.commit(self.consumer, force=True)
                and self.number == number
            ):
                log.warning("claiming the partitions again: the group gives them to this worker")
                self._left = None
                self._forget()
                await self._begin(self.consumer.assignment())

    async def look_again(self, why: str) -> None:
        """Compare the partitions with the store once more, and read on where that left off; or stop the worker.

        What was fetched and is not committed is fetched again. While Kafka does not answer, nothing is read.
        """
        if self._stop.is_asked:
            return
        log.warning("comparing the input logs with the store again", reason=why)
        self.is_set.clear()
        self.number = number = self.number + 1
        async with self.in_hand:
            if self.number == number:  # else the partitions are being taken, and are compared when they are given
                self._forget()
                await self._begin(self.consumer.assignment(), look_for_seconds=math.inf)

    async def compare_topic_ids(self, topic_ids: Mapping[str, UUID], asked_at: float) -> None:
        """Look again where a topic is another one than when its partitions were assigned, if that was before."""
        for name, known in self._fetches.topic_ids.items():
            is_news = self.is_set.is_set() and asked_at > self.set_at
            if is_news and topic_ids.get(name, known) != known:
                await self.look_again(f"topic {name} was deleted and created again")
                return

    def _forget(self) -> None:
        self._offsets.forget()
        self._backlog.clear()
        self._held.clear()

    async def _begin(self, assigned: AbstractSet[TopicPartition], look_for_seconds: float = LOOK_FOR_SECONDS) -> None:
        number = self.number
        # aiokafka fetches while this runs, from offsets that are not the store's: nothing of it may be handed over.
        self.consumer.pause(*assigned)
        self._fetches.attach(self.consumer)
        try:
            await self._seek(assigned, look_for_seconds)
        except (PositionRefused, NewerStoreError) as refused:
            self._stop.fail_stop(str(refused))
        except Exception as error:  # aiokafka would log it and go on, from offsets that are not the store's
            if self.number != number or self._stop.is_asked:
                log.debug("positions not set: the partitions are being taken, or the worker stops", exc_info=error)
                return
            self._stop.fail_stop(
                f"the positions of {len(assigned)} partitions of {', '.join(self._settings.topics.inputs)} could not "
                f"be set ({described(error)}). Nothing was read: see that Kafka is well, then start the worker"
            )
        else:
            reach("positions-set")
            self.consumer.resume(*(assigned - self._held))
            self.set_at = time.monotonic()
            if self.number == number:  # else the partitions are being taken this moment
                self.is_set.set()

    async def _seek(self, assigned: AbstractSet[TopicPartition], look_for_seconds: float) -> None:
        number = self.number
        if not assigned and self._store.exclusive_id is not None and not await self._has_foreign_members():
            raise PositionRefused(
                f"another worker of the group {self._settings.kafka.group_id} has all partitions, and a DuckDB "
                "store belongs to one worker. Stop the other one first, or give this one a group of its own "
                "(CUSTOMER_WORKER_KAFKA__GROUP_ID); many workers in one group need PostgreSQL"
            )
        async for attempt in AsyncRetrying(  # a rebalance often comes of the very broker that is asked here
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            stop=lambda state: (
                self.number != number or self._stop.is_asked or stop_after_delay(look_for_seconds)(state)
            ),
            retry=retry_if_exception(_helps_to_look_again),
            reraise=True,
        ):
            with attempt:
                topics = await describe_topics(self.consumer, {place.topic for place in assigned})
                partitions = await self._look_at(assigned, topics)
                # Where there are more workers than partitions, this one has none, and is there for when another ends.
                starts = {place: await self._start(place, partition) for place, partition in partitions.items()}
        self.ends = {place: partition.end for place, partition in partitions.items()}
        topic_ids = {topic.name: topic.topic_id for topic in topics.values() if topic.topic_id is not None}
        log_ids = {(p.topic, p.partition): topic_ids[p.topic] for p in starts if p.topic in topic_ids}
        await self._thread.call(self._store.identify_logs, log_ids)
        self._fetches.topic_ids = topic_ids
        for place, offset in starts.items():
            self.consumer.seek(place, offset)
            partition = partitions[place]
            self._offsets.start(place, offset, offset if partition.is_another_log else partition.stored or 0)
        self._hold_cancellations(starts, self.ends)

    async def _has_foreign_members(self) -> bool:
        """Whether consumers that are no workers take part in the group; `InputWatch` reports them."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                group = await describe_membership(self.consumer, self._settings.kafka.group_id)
        except (KafkaError, OSError, TimeoutError, NotImplementedError) as error:
            log.debug("group not described", error=type(error).__name__)
            return False
        return bool(foreign_members(group.members, client_name(self.consumer), self._settings.topics.inputs))

    async def _look_at(
        self, assigned: AbstractSet[TopicPartition], topics: Mapping[str, TopicMetadata]
    ) -> dict[TopicPartition, Partition]:
        stored = await self._claim(assigned)
        if not assigned:
            return {}
        async with kafka.admin_client(self._settings.kafka) as admin:
            committed = await kafka.group_offsets(admin, self._settings.kafka.group_id, assigned)
        begins = await self.consumer.beginning_offsets(assigned)
        ends = await self.consumer.end_offsets(assigned)
        self.leaders.start(assigned)  # a leader that changes from here on is compared anew
        differences = await self._differences(topics, begins, ends)
        return {
            place: Partition(
                name=f"{place.topic}/{place.partition}",
                stored=stored.get((place.topic, place.partition)),
                committed=committed[place].offset if place in committed else None,
                is_mirror=place in committed and (committed[place].metadata == MIRROR or not self.trusts_committed),
                begin=begins[place],
                end=ends[place],
                difference=differences.get(place),
            )
            for place in sorted(assigned)
        }

    async def _differences(
        self,
        topics: Mapping[str, TopicMetadata],
        begins: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, str | None]:
        """How the logs differ from those that the store has read, where they do."""
        stored = await self._thread.call(self._store.logs)
        logs = {place: stored[place.topic, place.partition] for place in ends if tuple(place) in stored}
        offsets = {
            place: known.last.offset
            for place, known in logs.items()
            if known.last is not None and begins[place] <= known.last.offset < ends[place]
        }
        found = await read_marks(self._settings.kafka, offsets)
        return {
            place: difference(known, topics[place.topic].topic_id if place.topic in topics else None, found.get(place))
            for place, known in logs.items()
        }

    async def _claim(self, assigned: AbstractSet[TopicPartition]) -> Mapping[tuple[str, int], int]:
        """Take the partitions over from whoever had them: what that one has in hand is not committed any more."""
        try:
            return await self._thread.call(self._store.claim, [(place.topic, place.partition) for place in assigned])
        except StoreError:
            await self._thread.call(self._store.reopen)
            raise

    async def _start(self, place: TopicPartition, partition: Partition) -> int:
        safety = self._settings.safety
        offset = starting_offset(
            partition, allow_skip_forward=safety.allow_skip_forward, allow_lost_records=safety.allow_lost_records
        )
        if partition.is_another_log:
            await self._thread.call(self._store.forget_position, (place.topic, place.partition), offset)
        if offset != (partition.stored or 0):
            log.info("not where the store left off", partition=partition.name, offset=offset, stored=partition.stored)
        return offset

    def _hold_cancellations(self, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        """Let cancellations wait while more than a batch of signups does, up to where those end now.

        Read side by side, most cancellations would come before their signups, be parked, and be taken up again.
        """
        signup = self._settings.topics.signup
        backlog = {place: end for place, end in ends.items() if place.topic == signup and starts[place] < end}
        waiting = sum(end - starts[place] for place, end in backlog.items())
        if waiting > self._settings.batch.max_records:
            self._backlog = backlog
            self._held = {place for place in starts if place.topic != signup}
            log.info("reading the backlog of signups before any cancellation", signups=waiting)

    async def release_cancellations(self) -> None:
        """Read cancellations, too, once the backlog of signups is read."""
        if not self._held or not self.is_set.is_set():
            return
        try:
            for place, end in list(self._backlog.items()):
                if await self.consumer.position(place) >= end:
                    self._backlog.pop(place, None)  # the mirror's turn and a batch's can both come here
            if not self._backlog:
                self.consumer.resume(*self._held)
                self._held.clear()
        except IllegalStateError as error:  # the partitions were taken meanwhile: the next assignment decides anew
            log.debug("cancellations not released", error=in_words(error))


def _helps_to_look_again(error: BaseException) -> bool:
    if isinstance(error, NewerStoreError):
        return False
    return isinstance(error, KafkaError | Refusal | OSError | TimeoutError | StoreError)
