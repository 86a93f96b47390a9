"""State of the consumer group according to its coordinator: foreign members, and the membership of this worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from worker.kafka.errors import in_words
from worker.kafka.group_membership import Membership, client_name, describe_membership, foreign_members
from worker.kafka.topic_metadata import READ

log = structlog.get_logger(__name__)

DESCRIBE_SECONDS = 5.0
REJOIN_SECONDS = 10.0
"""For a member that was removed from the group and joins again."""


class GroupState(NamedTuple):
    """State of the group. `problem` is the reason why it is not usable, `elsewhere` has partitions of other workers.

    `is_described` is False if the coordinator did not describe the group; `is_stable` is True while no rebalance is
    in progress.
    """

    problem: str | None
    is_described: bool = False
    is_stable: bool = False
    has_foreign_members: bool = False
    elsewhere: frozenset[TopicPartition] = frozenset()


class GroupWatch:
    """Watch of the group of one worker."""

    def __init__(self, group_id: str, topics: Sequence[str]) -> None:
        self._group_id = group_id
        self._topics = topics
        self._problem: str | None = None
        self._member_at = time.monotonic()

    async def look(self, consumer: AIOKafkaConsumer) -> GroupState:
        """Describe the group now. While its coordinator is not available, the last problem is kept."""
        state = await self._describe(consumer)
        self._problem = state.problem
        return state

    async def _describe(self, consumer: AIOKafkaConsumer) -> GroupState:
        try:
            async with asyncio.timeout(DESCRIBE_SECONDS):
                membership = await describe_membership(consumer, self._group_id)
        except GroupAuthorizationFailedError:
            return GroupState(f"the right READ on the group {self._group_id} is missing")
        except (KafkaError, OSError, TimeoutError, NotImplementedError) as error:
            log.debug("group not described", error=in_words(error))
            return GroupState(self._problem)
        own_id = _own_id(consumer)
        foreign = foreign_members(membership.members, client_name(consumer), self._topics)
        workers = [member for member in membership.members if member not in foreign]
        others = [member.partitions for member in workers if member.member_id != own_id]
        shown = ", ".join(sorted({member.shown for member in foreign}))
        return GroupState(
            self._problem_of(membership, own_id, shown),
            is_described=True,
            is_stable=membership.is_stable,
            has_foreign_members=bool(foreign),
            elsewhere=frozenset().union(*others),
        )

    def _problem_of(self, membership: Membership, own_id: str, foreign: str) -> str | None:
        now = time.monotonic()
        if membership.operations is not None and READ not in membership.operations:
            return f"the right READ on the group {self._group_id} is missing"
        if foreign:
            return f"{foreign} is a member of the group {self._group_id}, but is no customer worker"
        if not membership.is_stable or own_id in {member.member_id for member in membership.members}:
            self._member_at = now
        elif now - self._member_at > REJOIN_SECONDS:
            return f"this worker is not a member of the group {self._group_id}"
        return None


def rejoin_if_failed(consumer: AIOKafkaConsumer) -> None:
    """Join the group again if aiokafka has ended its heartbeats, as it does when a right is missing for a moment.

    Without this, each of its polls would raise the same error.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - there is no public call for it
    task = coordinator._heartbeat_task  # noqa: SLF001
    if task is not None and task.done() and not task.cancelled() and task.exception() is not None:
        coordinator.request_rejoin()


def _own_id(consumer: AIOKafkaConsumer) -> str:
    member_id: str = consumer._coordinator.member_id  # noqa: SLF001 - there is no public call for it
    return member_id
