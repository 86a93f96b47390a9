"""Joining of the consumer group: incompatible members, and the reason of a wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupIdNotFound, KafkaError

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.errors import in_words
from worker.kafka.group_membership import describe_membership
from worker.settings import Settings

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 2.0
FIRST_REPEAT_SECONDS = 10.0
LAST_REPEAT_SECONDS = 300.0
NO_COORDINATOR = (
    "the brokers have not created or loaded the topic __consumer_offsets. Check that enough brokers run for its "
    "offsets.topic.replication.factor, and their logs"
)
WAITING = "the group has not assigned partitions yet, or their positions are being set"


class Joining:
    """The wait until the group has accepted this worker. `reason` is its cause."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._over = asyncio.Event()
        self.reason = WAITING

    @property
    def is_over(self) -> bool:
        """Whether the group has accepted this worker."""
        return self._over.is_set()

    def accepted(self) -> None:
        """Record that the group has accepted this worker."""
        self._over.set()

    async def watch(self) -> None:
        """Log the reason of the wait: after a moment, on a change, and at growing intervals."""
        logged, repeat_s, repeat_at = "", FIRST_REPEAT_SECONDS, 0.0
        began = time.monotonic()
        while not await self._is_over_within(LOOK_EVERY_SECONDS):
            self.reason = await self._look()
            if self.is_over:
                break
            now = time.monotonic()
            if self.reason == logged and now < repeat_at:
                continue
            repeat_s = min(2 * repeat_s, LAST_REPEAT_SECONDS) if self.reason == logged else FIRST_REPEAT_SECONDS
            logged, repeat_at = self.reason, now + repeat_s
            log.warning(
                "group not joined yet",
                group=self._settings.kafka.group_id,
                reason=self.reason,
                waited_s=round(now - began, 1),
            )
        if logged:
            log.info("group joined", group=self._settings.kafka.group_id, waited_s=round(time.monotonic() - began, 1))

    async def _is_over_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _look(self) -> str:
        group_id = self._settings.kafka.group_id
        try:
            async with kafka.admin_client(self._settings.kafka) as admin:
                try:
                    group = await kafka.describe_group(admin, group_id)
                except GroupCoordinatorNotAvailableError:
                    return f"the coordinator of group {group_id} is not available: {NO_COORDINATOR}"
                except KafkaError as error:
                    return in_words(error)
        except Refusal as refusal:
            return str(refusal)
        if group.is_balancing:
            return f"the group is rebalancing: it waits for {len(group.members)} members to join again"
        return WAITING


async def require_compatible_members(settings: Settings, assignor: str) -> None:
    """Raise `Refusal` if the group has members that are incompatible with this assignor.

    A group without an available coordinator passes: `Joining` logs that.
    """
    async with kafka.admin_client(settings.kafka) as admin:
        try:
            await look_at_group(admin, settings.kafka.group_id, assignor)
        except KafkaError as error:
            log.debug("group members not known", reason=in_words(error))


async def look_at_group(admin: AIOKafkaAdminClient, group_id: str, assignor: str) -> int:
    """Count the members of the group. Raises `Refusal` if they are incompatible, and `KafkaError`."""
    group = await kafka.describe_group(admin, group_id)
    if found := await _incompatible(admin, group_id, group, assignor):
        protocol, members = found
        raise Refusal(
            f"group {group_id} has members of another kind ({protocol}): {', '.join(members)}. Stop them or set "
            "another group id for them, or set CUSTOMER_WORKER_KAFKA__GROUP_ID to a group of customer workers only; "
            "then start the worker again",
            Exit.UNREACHABLE,
        )
    return len(group.members)


async def _incompatible(
    admin: AIOKafkaAdminClient, group_id: str, group: kafka.Group, assignor: str
) -> tuple[str, Sequence[str]] | None:
    """Return the protocol and the names of members that are incompatible with this assignor; None if none."""
    if group.members and group.assignor and group.assignor != assignor:
        return f"assignor {group.assignor}", [f"{each.client_id} at {each.host}" for each in group.members]
    if group.members:
        return None
    try:
        members = (await describe_membership(admin, group_id)).members
    except GroupIdNotFound:
        return None
    names = [each.shown for each in members if each.is_consumer_protocol]
    return ("the consumer protocol, group.protocol=consumer", names) if names else None
