"""How a group shares its partitions when the store has one owner: the worker that started first has them all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import structlog
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError
from typing_extensions import override

from worker.errors import Refusal
from worker.kafka import clients as kafka
from worker.kafka.errors import in_words
from worker.settings import Settings

log = structlog.get_logger(__name__)

VERSION = 0
ASK_EVERY_SECONDS = 0.1
_STARTED = time.time_ns()


class SingleOwnerAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """All partitions to the member that started first. A second worker gets none, says so and stops.

    With any other sharing a worker started by mistake would take half of the partitions from one that does its work.
    Each member tells the others when it started, and which store it has.
    """

    name = "one-worker"
    store: ClassVar[str] = ""

    @classmethod
    def with_store(cls, store: str) -> type[SingleOwnerAssignor]:
        """For a worker that has this store."""
        return type(cls.__name__, (cls,), {"store": store})

    @classmethod
    @override
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        first = min(members, key=lambda member: (_started(members[member].user_data), member))
        everything = [
            (topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in sorted(members[first].subscription)
        ]
        return {
            member: ConsumerProtocolMemberAssignment(VERSION, everything if member == first else [], b"")
            for member in members
        }

    @classmethod
    @override
    def metadata(cls, topics: Iterable[str]) -> Any:
        return ConsumerProtocolMemberMetadata(VERSION, list(topics), f"{_STARTED} {cls.store}".encode())

    @classmethod
    @override
    def on_assignment(cls, assignment: Any) -> None:
        pass


def assignor_name(*, is_shared: bool) -> str:
    """Name the assignor of the workers on a store, by whether they share it."""
    name: str = RangePartitionAssignor.name if is_shared else SingleOwnerAssignor.name
    return name


def _started(user_data: bytes) -> int:
    return int((user_data or b"0").split()[0])


def has_store(member: kafka.Member, store: str | None) -> bool:
    """Whether a member of the group has this very store (`Store.exclusive_id`)."""
    return store is not None and member.user_data.endswith(f" {store}".encode())


async def members_of(settings: Settings) -> Sequence[kafka.Member]:
    """Who is in the group; nobody where that cannot be told."""
    try:
        async with kafka.admin_client(settings.kafka) as admin:
            return (await kafka.describe_group(admin, settings.kafka.group_id)).members
    except (KafkaError, OSError, TimeoutError, Refusal) as error:
        log.debug("the group's members are not known", error=in_words(error))
        return ()


async def evict_dead_members(settings: Settings, members: Iterable[kafka.Member], store: str) -> None:
    """Take those who had our store out of the group once we are joining it, lest it wait for their sessions to end.

    The store lets in one process at a time, so they are dead. Not before we join: an empty group waits for others.
    What goes wrong here costs no more than the wait.
    """
    dead = {member.member_id for member in members if has_store(member, store)}
    group_id = settings.kafka.group_id
    try:
        async with kafka.admin_client(settings.kafka) as admin:
            while dead:
                group = await kafka.describe_group(admin, group_id)
                dead &= {member.member_id for member in group.members}
                if not group.is_balancing:
                    await asyncio.sleep(ASK_EVERY_SECONDS)
                    continue
                for member_id in dead:
                    await kafka.remove_member(admin, group_id, member_id)
                    log.info("told the group that the last worker on this store is dead", member=member_id)
                return
    except (KafkaError, OSError, TimeoutError, Refusal) as error:
        log.info("the group will notice by itself that the last worker is dead", error=in_words(error))
