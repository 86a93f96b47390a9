"""Partition assignor for a single-process store (DuckDB): the worker that started first gets all partitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import structlog
from aiokafka.admin import AIOKafkaAdminClient
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


class SingleOwnerAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """Assignor of all partitions to the member that started first. A second worker gets none and stops with an error.

    With any other assignor, a worker started by mistake would take half of the partitions from the running one. The
    user data of a member contains its start time and the identity of its store.
    """

    name = "one-worker"
    store: ClassVar[str] = ""
    started_ns: ClassVar[int] = 0

    @classmethod
    def with_store(cls, store: str) -> type[SingleOwnerAssignor]:
        """Return the assignor of a worker with this store that starts now."""
        return type(cls.__name__, (cls,), {"store": store, "started_ns": time.time_ns()})

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
        return ConsumerProtocolMemberMetadata(VERSION, list(topics), f"{cls.started_ns} {cls.store}".encode())

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
    """Return whether a member of the group has this store (`Store.exclusive_id`)."""
    return store is not None and member.user_data.endswith(f" {store}".encode())


async def members_of(settings: Settings) -> Sequence[kafka.Member]:
    """Return the members of the group; none if they cannot be described."""
    try:
        async with kafka.admin_client(settings.kafka) as admin:
            return (await kafka.describe_group(admin, settings.kafka.group_id)).members
    except (KafkaError, OSError, TimeoutError, Refusal) as error:
        log.debug("group members not known", error=in_words(error))
        return ()


async def evict_dead_members(settings: Settings, members: Iterable[kafka.Member], store: str) -> None:
    """Remove stale members, former workers on this store, so that the group does not wait for their session timeout.

    The store admits one process at a time, so they have stopped. They are removed once this worker is joining: a group
    that becomes empty waits for further members. On an error the group removes them at their session timeout.
    """
    stale = {member.member_id for member in members if has_store(member, store)}
    try:
        async with kafka.admin_client(settings.kafka) as admin:
            for member_id in await _once_joining(admin, settings.kafka.group_id, stale):
                await kafka.remove_member(admin, settings.kafka.group_id, member_id)
                log.info("removed stale group member", member=member_id)
    except (KafkaError, OSError, TimeoutError, Refusal) as error:
        log.info("stale group member not removed", error=in_words(error))


async def _once_joining(admin: AIOKafkaAdminClient, group_id: str, member_ids: set[str]) -> set[str]:
    """Wait until the group rebalances. Return those of the members that are still in it."""
    while member_ids:
        group = await kafka.describe_group(admin, group_id)
        member_ids = member_ids & {member.member_id for member in group.members}
        if group.is_balancing:
            break
        await asyncio.sleep(ASK_EVERY_SECONDS)
    return member_ids
