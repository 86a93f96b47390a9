"""Whether the configured input topics can be read, and how far behind the worker is: by the topics, not the assignment.

Each second Kafka is asked for the topics (ids, rights), the ends of their partitions, and the group. A topic that is
deleted, or may not be read any more, leaves the assignment in silence; here it stays, with its last known end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from operator import itemgetter

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
)

from worker.consumer.assignment import Assignment
from worker.consumer.progress import Progress
from worker.kafka.group_membership import GroupMember, Membership, client_name, describe_membership, foreign_members
from worker.kafka.log_ends import log_ends
from worker.kafka.topic_metadata import READ, TopicMetadata, describe_topics
from worker.messages import record as plain
from worker.settings import Settings

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 1.0
ASK_SECONDS = 5.0
GRACE_SECONDS = 10.0
"""For what a restart or a move of a broker explains: an end that cannot be read, a member that has to join again."""
NEW_PARTITION_SECONDS = 60.0
"""For a partition that was added to a topic: the group shares it out once its members have seen it."""
STANDING_SECONDS = 60.0
"""For a position that does not move although records wait."""
REFRESH_SECONDS = 5.0
NO_WORKER = "the group has given its partitions to no worker"

Positions = Callable[[], Awaitable[Mapping[TopicPartition, int]]]
"""The next offset to read of each partition that this worker has."""
Busy = Callable[[], bool]
"""Whether a batch is in hand that takes long, so that no position moves."""


class InputWatch:
    """Looks at the configured input topics and at the group of one worker.

    `topic_problems` says of each topic why it cannot be read, `group_problem` what is wrong with the group; None where
    nothing is.
    """

    def __init__(self, settings: Settings, assignment: Assignment, positions: Positions, is_busy: Busy) -> None:
        self._topics = settings.topics.inputs
        self._group_id = settings.kafka.group_id
        self._assignment = assignment
        self._positions = positions
        self._is_busy = is_busy
        self._busy_at = 0.0
        self._elsewhere: frozenset[TopicPartition] = frozenset()
        self._partitions: dict[TopicPartition, Progress] = {}
        self._described_at = time.monotonic()
        self._member_at = time.monotonic()
        self._refreshed_at = 0.0
        self.topic_problems: dict[str, str | None] = dict.fromkeys(self._topics)
        self.group_problem: str | None = None

    async def run(self) -> None:
        """Look until cancelled. What goes wrong in looking does not stop the worker."""
        failure = ""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may do better
                if failure != (failure := _cause(error)):
                    log.warning("inputs could not be looked at", error=failure)
            else:
                failure = ""

    async def look(self) -> None:
        """Look now."""
        consumer: AIOKafkaConsumer | None = self._assignment.consumer
        if consumer is None:
            return
        asked_at, number = time.monotonic(), self._assignment.number
        topics = await self._describe(consumer)
        membership, group_problem = await self._look_at_group(consumer)
        is_shared_out = membership is not None and membership.is_stable and self._assignment.is_still(number)
        if membership is not None and is_shared_out:
            self._elsewhere = _partitions_of_others(membership, self._foreign(consumer, membership), _own_id(consumer))
        await self.read_positions()
        now = time.monotonic()
        if topics is not None:
            self._described_at = now
            self._note_partitions(topics, now)
            self._note_ends(await log_ends(consumer, topics, self._partitions), now)
        problems = {name: self._problem(name, topics, now, is_shared_out=is_shared_out) for name in self._topics}
        self._set_problems(problems, group_problem)
        self._note_readable(now)
        if membership is not None and group_problem is None:
            _join_again(consumer)
        if topics is not None:
            self._refresh(consumer, topics, now)
            await self._assignment.compare_topic_ids(
                {name: topic.topic_id for name, topic in topics.items() if topic.topic_id is not None}, asked_at
            )

    async def read_positions(self) -> None:
        """Note how far the partitions of this worker are read now."""
        now = time.monotonic()
        for place, position in (await self._positions()).items():
            self._partitions.setdefault(place, Progress(now)).read_to(position, now)
        if self._is_busy():
            self._busy_at = now

    def lag(self, stored: Mapping[plain.TopicPartition, int]) -> dict[plain.TopicPartition, int]:
        """Offsets that wait, by partition; `stored` are the store's positions, for those nobody has."""
        return {
            (place.topic, place.partition): each.lag(stored.get((place.topic, place.partition), 0))
            for place, each in self._partitions.items()
        }

    def behind_seconds(self) -> dict[plain.TopicPartition, float]:
        """For how long the oldest unread offset of each partition has waited, as far as this worker has seen."""
        now = time.monotonic()
        return {
            (place.topic, place.partition): each.behind_seconds(now) if self._is_behind(place, each, now) else 0.0
            for place, each in self._partitions.items()
        }

    def _is_behind(self, place: TopicPartition, progress: Progress, now: float) -> bool:
        return (
            self.topic_problems[place.topic] is not None or progress.lag() > 0 or now - self._described_at > ASK_SECONDS
        )

    async def _describe(self, consumer: AIOKafkaConsumer) -> Mapping[str, TopicMetadata] | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await describe_topics(consumer, self._topics)
        except (KafkaError, OSError, TimeoutError) as error:
            log.debug("input topics not described", error=_cause(error))
            return None

    # The group

    async def _look_at_group(self, consumer: AIOKafkaConsumer) -> tuple[Membership | None, str | None]:
        """The group where it could be described, and what is wrong with it."""
        now = time.monotonic()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                membership = await describe_membership(consumer, self._group_id)
        except GroupAuthorizationFailedError:
            return None, f"the right READ on the group {self._group_id} is missing"
        except (KafkaError, OSError, TimeoutError, NotImplementedError) as error:
            log.debug("group not described", error=_cause(error))
            return None, self.group_problem
        if membership.operations is not None and READ not in membership.operations:
            return membership, f"the right READ on the group {self._group_id} is missing"
        if foreign := self._foreign(consumer, membership):
            self._assignment.trusts_committed = False
            shown = ", ".join(sorted({member.shown for member in foreign}))
            return membership, f"{shown} takes part in the group {self._group_id}, but is no customer worker"
        if not membership.is_stable or _own_id(consumer) in {member.member_id for member in membership.members}:
            self._member_at = now
        elif now - self._member_at > GRACE_SECONDS:
            return membership, f"the group {self._group_id} does not have this worker as a member"
        return membership, None

    def _foreign(self, consumer: AIOKafkaConsumer, membership: Membership | None) -> list[GroupMember]:
        if membership is None:
            return []
        return foreign_members(membership.members, client_name(consumer), self._topics)

    # The partitions

    def _note_partitions(self, topics: Mapping[str, TopicMetadata], now: float) -> None:
        """Watch what the topics have and no other worker has. What can be seen no longer stays as it was."""
        mine = self._assignment.partitions
        others = self._elsewhere - mine
        there = {TopicPartition(name, number) for name, topic in topics.items() for number in topic.partitions}
        known = {name for name, topic in topics.items() if topic.partitions}
        for place in list(self._partitions):
            if place in others or (place.topic in known and place not in there):
                del self._partitions[place]
        for place in there - others:
            progress = self._partitions.setdefault(place, Progress(now))
            progress.unassigned_since = None if place in mine else progress.unassigned_since or now

    def _note_ends(self, ends: Mapping[TopicPartition, int], now: float) -> None:
        for place, end in ends.items():
            if place in self._partitions:
                self._partitions[place].ends_at(end, now)

    def _note_readable(self, now: float) -> None:
        for place, progress in self._partitions.items():
            if self.topic_problems[place.topic] is None and now - self._described_at < ASK_SECONDS:
                progress.is_readable(now)

    # What is wrong

    def _problem(
        self, name: str, topics: Mapping[str, TopicMetadata] | None, now: float, *, is_shared_out: bool
    ) -> str | None:
        if topics is None:
            return self.topic_problems[name]
        if name in topics and (problem := topics[name].unreadable_because):
            return problem
        has_none = not any(place.topic == name for place in self._assignment.partitions | self._elsewhere)
        if has_none if is_shared_out else self.topic_problems[name] == NO_WORKER:
            return NO_WORKER
        for place, progress in sorted(self._partitions.items(), key=itemgetter(0)):
            if place.topic == name and (
                problem := self._problem_of_partition(place, progress, now, is_shared_out=is_shared_out)
            ):
                return f"partition {place.partition} {problem}"
        return None

    def _problem_of_partition(
        self, place: TopicPartition, progress: Progress, now: float, *, is_shared_out: bool
    ) -> str | None:
        if now - progress.end_known_at > GRACE_SECONDS:
            return "has no leader that tells where its log ends"
        since = progress.unassigned_since
        if since is not None:
            return "is assigned to no worker" if is_shared_out and now - since > NEW_PARTITION_SECONDS else None
        if progress.position is not None and progress.end is not None and progress.end < progress.position:
            return f"ends at offset {progress.end}, before the position {progress.position}"
        is_held = place in self._assignment.held or now - self._busy_at < STANDING_SECONDS
        if not is_held and progress.standing_seconds(now) > STANDING_SECONDS:
            return (
                f"is not read on: its position is {progress.position} for {progress.standing_seconds(now):.0f} s, its "
                f"end {progress.end}; a producer may have left a transaction open"
            )
        return None

    def _set_problems(self, topics: Mapping[str, str | None], group: str | None) -> None:
        for name, problem in topics.items():
            if problem is not None and self.topic_problems[name] is None:
                log.error("input topic cannot be read", topic=name, reason=problem)
            elif problem is None and self.topic_problems[name] is not None:
                log.info("input topic can be read again", topic=name)
        if group is not None and self.group_problem is None:
            log.error("consumer group cannot be used", group=self._group_id, reason=group)
        elif group is None and self.group_problem is not None:
            log.info("consumer group can be used again", group=self._group_id)
        self.topic_problems.update(topics)
        self.group_problem = group

    def _refresh(self, consumer: AIOKafkaConsumer, topics: Mapping[str, TopicMetadata], now: float) -> None:
        """Have the consumer see a topic that can be read again: by itself it would in half a minute."""
        mine = {place.topic for place in self._assignment.partitions}
        is_due = any(
            self.topic_problems[name] is not None and name not in mine and topics[name].error is None
            for name in self._topics
        )
        if is_due and now - self._refreshed_at > REFRESH_SECONDS:
            self._refreshed_at = now
            consumer._client.force_metadata_update()  # noqa: SLF001 - there is no public call for it


def _join_again(consumer: AIOKafkaConsumer) -> None:
    """Join the group again where aiokafka has given up its heartbeats, as it does when a right is missing for a moment.

    It would raise the same error from every poll for ever.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - there is no public call for it
    task = coordinator._heartbeat_task  # noqa: SLF001
    if task is not None and task.done() and not task.cancelled() and task.exception() is not None:
        coordinator.request_rejoin()


def _own_id(consumer: AIOKafkaConsumer) -> str:
    member_id: str = consumer._coordinator.member_id  # noqa: SLF001 - there is no public way to ask
    return member_id


def _partitions_of_others(
    membership: Membership | None, foreign: list[GroupMember], own_id: str
) -> frozenset[TopicPartition]:
    """What the other workers of the group have: they answer for it."""
    members = membership.members if membership else []
    return frozenset().union(
        *(member.partitions for member in members if member.member_id != own_id and member not in foreign)
    )


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
