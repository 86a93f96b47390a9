"""The consumer group's assignment of partitions to this worker: reading starts at the store's positions."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential
from typing_extensions import override

from worker.consumer.commit_check import CommitCheck
from worker.consumer.offset_commits import OffsetCommits
from worker.consumer.signup_backlog import SignupBacklog
from worker.consumer.start_positions import StartPositions
from worker.errors import PositionRefused, Refusal, Stop
from worker.failpoints import reach
from worker.kafka.group_membership import client_name, describe_membership, foreign_members
from worker.kafka.leader_changes import LeaderChanges, leader_connection
from worker.kafka.message_reading import Decode, MessageReading
from worker.kafka.topic_id_fetches import TopicIdFetches
from worker.logs.exceptions import described
from worker.settings import Settings
from worker.stores.errors import NewerStoreError, StoreError
from worker.stores.port import Store
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

RETRY_SECONDS = 30.0
"""Time limit for reading the positions of an assignment from Kafka and the store: their failures often cause
rebalances."""
DESCRIBE_SECONDS = 5.0


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """The partitions assigned to this worker, and the reading of their record batches by the consumer.

    `is_set` is set while their positions are set; `set_at` is the time of that (monotonic clock), `ends` the ends of
    their logs then. `number` identifies an assignment. `batch_lock` is held while a batch is applied.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        thread: StoreThread,
        offsets: OffsetCommits,
        stop: Stop,
        decode: Decode,
        count_lost_commits: Callable[[], object] = lambda: None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._offsets = offsets
        self._stop = stop
        self._fetches = TopicIdFetches()
        self.commits = CommitCheck(store, thread, count_lost_commits)
        self._positions = StartPositions(settings, store, thread, self.commits)
        self._disowned: int | None = None  # the number of the assignment that lost its partitions to another worker
        self.backlog = SignupBacklog(settings.topics.signup, settings.batch.max_records)
        self.leaders = LeaderChanges(lambda partition: leader_connection(self.consumer, partition))
        self.reading = MessageReading(self.leaders, decode)
        self.subscriber: Any = None
        self.batch_lock = asyncio.Lock()
        self.is_set = asyncio.Event()
        self.set_at = time.monotonic()
        self.number = 0
        self.ends: dict[TopicPartition, int] = {}
        self.trusts_committed = True  # False once a foreign member has been in the group: it commits offsets, too

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        """The partitions whose positions are set."""
        return frozenset(self.ends) if self.is_set.is_set() else frozenset()

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The Kafka consumer that FastStream's subscriber reads from, while that runs."""
        return self.subscriber.consumer

    def is_current(self, number: int) -> bool:
        """Return whether this is the assignment in force, its positions set."""
        return self.is_set.is_set() and self.number == number

    @override
    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Finish the current batch and commit offsets."""
        self._end()
        async with self.batch_lock:
            await self._offsets.commit(self.consumer)
        self._offsets.forget()

    @override
    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Start each partition at its position in the store."""
        await self._start(assigned)

    def disown(self) -> None:
        """Stop applying records of these partitions: another worker has claimed them in the store."""
        self._end()
        self._disowned = self.number

    async def check_commits(self) -> None:
        """Check between batches that the store has the commits of this worker.

        Without it, the records of lost commits would be read again only once further records come.
        """
        number = self.number
        is_idle = self.is_set.is_set() and not self.batch_lock.locked()
        if is_idle and await self.commits.are_lost() and self.is_current(number):
            self.disown()

    async def reclaim(self) -> None:
        """Claim disowned partitions again if the group still assigns them to this worker.

        The claim of a stopped worker can reach the store late; without this, no worker would read the partitions.
        """
        number = self.number
        if self._disowned != number:
            return
        async with self.batch_lock:
            # A commit that is refused means that a rebalance has begun, or will.
            if (
                self.number == number
                and await self._offsets.commit(self.consumer, force=True)
                and self.number == number
            ):
                log.warning("partitions reclaimed", reason="the group assigns them to this worker")
                self._disowned = None
                self._offsets.forget()
                await self._start(self.consumer.assignment())

    async def compare_again(self, reason: str) -> None:
        """Compare the logs with the store again, then read on from the store's positions, or stop the worker.

        Fetched records that are not committed are fetched again. Nothing is read while Kafka is not available.
        """
        if self._stop.is_asked:
            return
        log.warning("input logs compared again", reason=reason)
        self._end()
        number = self.number
        async with self.batch_lock:
            if self.number == number:  # else the partitions are being revoked, and compared at the next assignment
                self._offsets.forget()
                await self._start(self.consumer.assignment(), retry_seconds=math.inf)

    async def compare_topic_ids(self, topic_ids: Mapping[str, UUID], requested_at: float) -> None:
        """Compare the logs again if a topic has another id than the one that is read.

        Ids requested before the positions were set are ignored.
        """
        for name, read in self._fetches.topic_ids.items():
            is_news = self.is_set.is_set() and requested_at > self.set_at
            if is_news and topic_ids.get(name, read) != read:
                await self.compare_again(f"topic {name} was deleted and created again")
                return

    async def resume_cancellations(self) -> None:
        """Resume the partitions of cancellations once the backlog of signups is read."""
        if self.is_set.is_set() and self.backlog.paused:
            await self.backlog.resume_cancellations(self.consumer)

    def _end(self) -> None:
        self.is_set.clear()
        self.number += 1
        self.backlog.forget()

    async def _start(self, assigned: AbstractSet[TopicPartition], retry_seconds: float = RETRY_SECONDS) -> None:
        number = self.number
        # aiokafka fetches while this runs, from offsets that are not the store's: nothing of it may be handed over.
        self.consumer.pause(*assigned)
        self._fetches.attach(self.consumer)
        try:
            await self._set_positions(assigned, retry_seconds)
        except (PositionRefused, NewerStoreError) as refused:
            self._stop.fail_stop(str(refused))
        except Exception as error:  # aiokafka would log it and continue, from offsets that are not the store's
            if self.number != number or self._stop.is_asked:
                log.debug(
                    "positions not set", reason="the partitions are being revoked, or the worker stops", exc_info=error
                )
                return
            self._stop.fail_stop(
                f"the positions of {len(assigned)} partitions of {', '.join(self._settings.topics.inputs)} could not "
                f"be set: {described(error)}. Nothing was read. Check that Kafka is available, then start the worker"
            )
        else:
            reach("positions-set")
            self.consumer.resume(*(assigned - self.backlog.paused))
            self.set_at = time.monotonic()
            if self.number == number:  # else the partitions are being revoked at this moment
                self.is_set.set()

    async def _set_positions(self, assigned: AbstractSet[TopicPartition], retry_seconds: float) -> None:
        await self._require_partitions(assigned)
        number = self.number
        async for attempt in AsyncRetrying(
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            stop=lambda state: self.number != number or self._stop.is_asked or stop_after_delay(retry_seconds)(state),
            retry=retry_if_exception(_is_retriable),
            reraise=True,
        ):
            with attempt:
                starts, topic_ids = await self._positions.find(
                    self.consumer, assigned, self.leaders, trusts_committed=self.trusts_committed
                )
        self._fetches.topic_ids = topic_ids
        self.ends = {partition: start.end for partition, start in starts.items()}
        for partition, start in starts.items():
            self.consumer.seek(partition, start.offset)
            self._offsets.start(partition, start.offset, start.stored)
        self.backlog.start({partition: start.offset for partition, start in starts.items()}, self.ends)

    async def _require_partitions(self, assigned: AbstractSet[TopicPartition]) -> None:
        if not assigned and self._store.exclusive_id is not None and not await self._has_foreign_members():
            raise PositionRefused(
                f"another worker of the group {self._settings.kafka.group_id} has all partitions, and a DuckDB "
                "store admits one worker. Stop the other worker first, or set another group "
                "(CUSTOMER_WORKER_KAFKA__GROUP_ID); many workers in one group need PostgreSQL"
            )

    async def _has_foreign_members(self) -> bool:
        """Return whether consumers other than customer workers are in the group; `GroupWatch` reports them."""
        try:
            async with asyncio.timeout(DESCRIBE_SECONDS):
                group = await describe_membership(self.consumer, self._settings.kafka.group_id)
        except (KafkaError, OSError, TimeoutError, NotImplementedError) as error:
            log.debug("group not described", error=type(error).__name__)
            return False
        return bool(foreign_members(group.members, client_name(self.consumer), self._settings.topics.inputs))


def _is_retriable(error: BaseException) -> bool:
    if isinstance(error, NewerStoreError):
        return False
    return isinstance(error, KafkaError | Refusal | OSError | TimeoutError | StoreError)
