"""Watch of the configured input topics: their readability and lag, independent of the assignment.

Each second, the topics (ids, rights), the ends of their partitions, and the group are requested from Kafka. A topic
that is deleted or no longer readable leaves the assignment without an error; here it is kept with its last known end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from worker.consumer.assignment import Assignment
from worker.consumer.group_watch import GroupState, GroupWatch, rejoin_if_failed
from worker.consumer.watched_partitions import WatchedPartitions
from worker.kafka.errors import in_words
from worker.kafka.log_ends import log_ends
from worker.kafka.topic_metadata import TopicMetadata, describe_topics
from worker.logs.exceptions import described
from worker.messages import record as plain
from worker.metrics.kafka_requests import KafkaRequests, Operation, failure_cause
from worker.settings import Settings

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 1.0
DESCRIBE_SECONDS = 5.0
REFRESH_SECONDS = 5.0
NO_WORKER = "the group has assigned its partitions to no worker"

Positions = Callable[[], Awaitable[Mapping[TopicPartition, int]]]
"""Returns the next offset to read of each partition that this worker has."""
IsBusy = Callable[[], bool]
"""Returns whether a long batch is in progress, during which no position moves."""


class InputWatch:
    """Watch of the configured input topics and of the group of one worker.

    `topic_problems` has the reasons why topics are not readable, `group_problem` why the group is not usable; None
    without a problem.
    """

    def __init__(
        self,
        settings: Settings,
        assignment: Assignment,
        positions: Positions,
        is_busy: IsBusy,
        requests: KafkaRequests | None = None,
    ) -> None:
        self._requests = requests or KafkaRequests()
        self._topics = settings.topics.inputs
        self._group_id = settings.kafka.group_id
        self._assignment = assignment
        self._positions = positions
        self._is_busy = is_busy
        self._group = GroupWatch(self._group_id, self._topics)
        self._partitions = WatchedPartitions(time.monotonic())
        self._elsewhere: frozenset[TopicPartition] = frozenset()
        self._refreshed_at = 0.0
        self.topic_problems: dict[str, str | None] = dict.fromkeys(self._topics)
        self.group_problem: str | None = None

    async def run(self) -> None:
        """Check periodically until cancelled. An error of a check does not stop the worker."""
        failure = ""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - for any error, the next check may succeed
                if failure != (failure := described(error)):
                    log.warning("inputs not checked", error=failure)
            else:
                failure = ""

    async def look(self) -> None:
        """Check now."""
        consumer: AIOKafkaConsumer | None = self._assignment.consumer
        if consumer is None:
            return
        requested_at, number = time.monotonic(), self._assignment.number
        topics = await self._describe(consumer)
        group = await self._group.look(consumer)
        is_assigned = group.is_stable and self._assignment.is_current(number)
        if is_assigned:
            self._elsewhere = group.elsewhere
        await self.read_positions()
        now = time.monotonic()
        if topics is not None:
            self._partitions.note_topics(topics, self._assignment.partitions, self._elsewhere, now)
            self._partitions.note_ends(await log_ends(consumer, topics, self._partitions), now)
            problems = {name: self._problem(name, topics, now, is_assigned=is_assigned) for name in self._topics}
            self._set_topic_problems(problems)
        self._set_group_problem(group.problem)
        self._partitions.note_readable(self._unreadable, now)
        await self._act(consumer, topics, group, requested_at)

    async def _act(
        self,
        consumer: AIOKafkaConsumer,
        topics: Mapping[str, TopicMetadata] | None,
        group: GroupState,
        requested_at: float,
    ) -> None:
        if group.has_foreign_members:
            self._assignment.trusts_committed = False
        if group.is_described and group.problem is None:
            rejoin_if_failed(consumer)
        if topics is not None:
            self._refresh_metadata(consumer, topics)
            topic_ids = {name: topic.topic_id for name, topic in topics.items() if topic.topic_id is not None}
            await self._assignment.compare_topic_ids(topic_ids, requested_at)

    async def read_positions(self) -> None:
        """Record the positions of this worker's partitions."""
        now = time.monotonic()
        self._partitions.note_positions(await self._positions(), now)
        if self._is_busy():
            self._partitions.busy_at = now

    def lag(self, stored: Mapping[plain.TopicPartition, int]) -> dict[plain.TopicPartition, int]:
        """Return the unread offsets by partition; `stored` are the store's positions, for unassigned partitions."""
        return self._partitions.lag(stored)

    def behind_seconds(self) -> dict[plain.TopicPartition, float]:
        """Return the age of the oldest unread offset of each partition, as far as this worker has seen."""
        return self._partitions.behind_seconds(self._unreadable)

    @property
    def _unreadable(self) -> frozenset[str]:
        return frozenset(name for name, problem in self.topic_problems.items() if problem is not None)

    async def _describe(self, consumer: AIOKafkaConsumer) -> Mapping[str, TopicMetadata] | None:
        try:
            async with asyncio.timeout(DESCRIBE_SECONDS):
                described_topics = await describe_topics(consumer, self._topics)
        except (KafkaError, OSError, TimeoutError) as error:
            self._requests.failed(Operation.DESCRIBE_TOPICS, failure_cause(error))
            log.debug("input topics not described", error=in_words(error))
            return None
        self._requests.succeeded(Operation.DESCRIBE_TOPICS)
        return described_topics

    def _problem(self, name: str, topics: Mapping[str, TopicMetadata], now: float, *, is_assigned: bool) -> str | None:
        if name in topics and (problem := topics[name].unreadable_because):
            return problem
        has_none = not any(each.topic == name for each in self._assignment.partitions | self._elsewhere)
        if has_none if is_assigned else self.topic_problems[name] == NO_WORKER:
            return NO_WORKER
        paused = self._assignment.backlog.paused
        return self._partitions.problem(name, now, paused=paused, is_assigned=is_assigned)

    def _set_topic_problems(self, problems: Mapping[str, str | None]) -> None:
        for name, problem in problems.items():
            if problem is not None and self.topic_problems[name] is None:
                log.error("input topic not readable", topic=name, reason=problem)
            elif problem is None and self.topic_problems[name] is not None:
                log.info("input topic readable again", topic=name)
        self.topic_problems.update(problems)

    def _set_group_problem(self, problem: str | None) -> None:
        if problem is not None and self.group_problem is None:
            log.error("consumer group not usable", group=self._group_id, reason=problem)
        elif problem is None and self.group_problem is not None:
            log.info("consumer group usable again", group=self._group_id)
        self.group_problem = problem

    def _refresh_metadata(self, consumer: AIOKafkaConsumer, topics: Mapping[str, TopicMetadata]) -> None:
        """Refresh the consumer's metadata once a topic is readable again: else that takes half a minute."""
        now = time.monotonic()
        assigned = {partition.topic for partition in self._assignment.partitions}
        is_due = any(name not in assigned and topics[name].error is None for name in self._unreadable & topics.keys())
        if is_due and now - self._refreshed_at > REFRESH_SECONDS:
            self._refreshed_at = now
            consumer._client.force_metadata_update()  # noqa: SLF001 - there is no public call for it
