"""The rights (ACLs) that the worker needs on Kafka, which of them are missing, and the command that grants them.

Topic rights come with the description of a topic. For the group and the transactional id a request is sent that changes
nothing, a heartbeat and an end of a transaction without a member and a producer: the broker checks the right first.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.transaction import EndTxnRequest

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.topic_metadata import READ, WRITE, TopicMetadata, describe_topics
from worker.settings import Kafka, Settings

OPERATIONS = {"READ": READ, "WRITE": WRITE}
_NOBODY = -1


class Right(NamedTuple):
    """An operation on a resource: `topic`, `group` or `transactional-id`, as kafka-acls.sh names them."""

    operation: str
    resource: str
    name: str

    def __str__(self) -> str:
        return f"{self.operation} on {self.resource.replace('-', ' ')} {self.name}"


def needed_rights(settings: Settings) -> list[Right]:
    """Return the rights that the worker needs."""
    topics = settings.topics
    return [
        *(Right("READ", "topic", name) for name in topics.inputs + topics.outputs),
        *(Right("WRITE", "topic", name) for name in topics.outputs),
        Right("READ", "group", settings.kafka.group_id),
        Right("WRITE", "transactional-id", kafka.transactional_id(settings.kafka)),
    ]


def printed_rights(settings: Settings, *, for_redrive: bool) -> list[Right]:
    """Return the rights that the worker needs, those that `check` needs, and with `for_redrive` those of a redrive."""
    topics = settings.topics
    return [
        *needed_rights(settings),
        *(Right("DESCRIBE_CONFIGS", "topic", name) for name in topics.inputs + topics.outputs),
        *(Right("WRITE", "topic", name) for name in topics.inputs if for_redrive),
    ]


async def look_at_rights(admin: AIOKafkaAdminClient, settings: Settings) -> dict[Right, bool | None]:
    """Return whether this client has each needed right; None if that is unknown. Raises `KafkaError`."""
    topics = await describe_topics(admin, settings.topics.inputs + settings.topics.outputs)
    return {right: await _is_granted(admin, right, topics) for right in needed_rights(settings)}


async def require_rights(settings: Settings) -> None:
    """Raise `Refusal` if a right is known to be missing."""
    async with kafka.admin_client(settings.kafka) as admin:
        rights = await look_at_rights(admin, settings)
    if missing := [right for right, granted in rights.items() if granted is False]:
        raise missing_rights(settings.kafka, missing)


def missing_rights(settings: Kafka, missing: Iterable[Right]) -> Refusal:
    """Name rights that are missing, and the commands that grant them."""
    rights = list(missing)
    return Refusal(
        f"Kafka does not grant the worker {', '.join(map(str, rights))}. Grant it with "
        + " and ".join(f"`{command}`" for command in granting(settings, rights)),
        Exit.UNREACHABLE,
    )


def granting(settings: Kafka, rights: Iterable[Right], principal: str | None = None) -> Iterator[str]:
    """Yield commands that grant these rights, one for each operation, with names quoted for the shell."""
    principal = principal or f"User:{settings.sasl_username or 'NAME'}"
    by_operation: dict[str, list[Right]] = {}
    for right in rights:
        by_operation.setdefault(right.operation, []).append(right)
    for operation, those in by_operation.items():
        command = [
            *("kafka-acls.sh", "--bootstrap-server", settings.bootstrap_servers),
            *("--add", "--allow-principal", principal),
            *("--operation", "".join(part.capitalize() for part in operation.split("_"))),
            *(word for right in those for word in (f"--{right.resource}", right.name)),
        ]
        yield shlex.join(command)


async def _is_granted(admin: AIOKafkaAdminClient, right: Right, topics: Mapping[str, TopicMetadata]) -> bool | None:
    if right.resource == "topic":
        return is_granted_on(topics.get(right.name), OPERATIONS[right.operation])
    request, refused = (
        (HeartbeatRequest(right.name, _NOBODY, ""), GroupAuthorizationFailedError)
        if right.resource == "group"
        else (EndTxnRequest(right.name, _NOBODY, _NOBODY, False), TransactionalIdAuthorizationFailed)  # noqa: FBT003
    )
    # aiokafka has no public call for these; its minor version is pinned.
    answer: Any = await admin._send_request(request)  # noqa: SLF001
    return for_code(answer.error_code) is not refused


def is_granted_on(topic: TopicMetadata | None, operation: int) -> bool | None:
    """Return whether an operation (its number in Kafka's protocol) is granted on a topic; None if unknown."""
    if topic is not None and topic.error is TopicAuthorizationFailedError:
        return False  # not even DESCRIBE, which comes with READ and WRITE
    if topic is None or topic.error is not None or not topic.operations:
        return None  # empty: the broker does not report rights, as every client that can list a topic has DESCRIBE
    return operation in topic.operations
