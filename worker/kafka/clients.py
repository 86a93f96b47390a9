"""Connections to Kafka, all made from one settings object, and requests to a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata

from worker.errors import Exit, Refusal
from worker.kafka.connecting import find_cause
from worker.kafka.errors import in_words
from worker.kafka.sasl import sasl_options
from worker.kafka.sessions import reauthenticate_sessions
from worker.kafka.tls import ssl_context
from worker.kafka.topic_metadata import describe_topics, forbid_topic_creation
from worker.settings import Kafka

CONNECT_SECONDS = 15.0
CONNECTIONS_MAX_IDLE_MS = 180_000
"""Idle connections are closed from this side first: brokers close them after 10 minutes, load balancers after 4, some
without notification, so that the next request on such a connection waits until it times out."""
PUBLISH_BATCH_BYTES = 512 * 1024
"""Batches are filled up to this size, or to the limit of their topic: see `batch_sizes`."""

_UNAUTHORIZED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed)

TRANSACTION_TIMEOUT_MS = 30_000


def client_options(kafka: Kafka) -> dict[str, Any]:
    """Return the connection settings in the form of aiokafka. No client made from them creates topics.

    Each of them authenticates again before its session expires.
    """
    forbid_topic_creation()
    reauthenticate_sessions()
    return {
        "bootstrap_servers": kafka.bootstrap_servers.replace(" ", "").split(","),
        "security_protocol": kafka.security_protocol,
        "ssl_context": ssl_context(kafka),
        "connections_max_idle_ms": CONNECTIONS_MAX_IDLE_MS,
        **sasl_options(kafka),
    }


def transactional_id(kafka: Kafka) -> str:
    """Return the relay's transactional id: one for the whole group, so that a new relay fences its predecessor."""
    return f"{kafka.group_id}-relay"


def relay_producer(kafka: Kafka) -> AIOKafkaProducer:
    """Return a producer for the relay. Its start aborts an open transaction of its predecessor."""
    return AIOKafkaProducer(
        **client_options(kafka),
        transactional_id=transactional_id(kafka),
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        request_timeout_ms=10_000,
    )


def plain_producer(kafka: Kafka) -> AIOKafkaProducer:
    """Return an idempotent producer, which keeps the order."""
    return AIOKafkaProducer(
        **client_options(kafka),
        enable_idempotence=True,
        request_timeout_ms=10_000,
    )


def committed_reader(kafka: Kafka, **options: Any) -> AIOKafkaConsumer:
    """Return a `read_committed` consumer without a group. It fails if the records it is to read were deleted."""
    return AIOKafkaConsumer(
        **client_options(kafka),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",  # a jump to the end would look like having read
        **options,
    )


@asynccontextmanager
async def admin_client(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected admin client. Raises `Refusal` if no broker answers, or one answers with an error."""
    admin = AIOKafkaAdminClient(**client_options(kafka), request_timeout_ms=int(CONNECT_SECONDS * 1000))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await admin.start()
    except (KafkaError, OSError, TimeoutError) as error:
        await admin.close()
        raise await unreachable(kafka, error) from error
    try:
        yield admin
    except (KafkaError, TimeoutError) as error:
        raise await unreachable(kafka, error) from error
    finally:
        await admin.close()


async def unreachable(kafka: Kafka, error: BaseException) -> Refusal:
    """Describe a failed request to Kafka by its cause: a missing right, or a failure of the connection."""
    if isinstance(error, _UNAUTHORIZED):
        return Refusal(
            f"Kafka refused a request: {in_words(error)}. `customer-worker check` lists the rights that are missing, "
            "with the command that grants them",
            Exit.UNREACHABLE,
        )
    if (cause := await find_cause(kafka, client_options(kafka))) is not None:
        return Refusal(f"Kafka cannot be reached: {cause.what}. {cause.advice}", Exit.UNREACHABLE)
    return Refusal(
        f"Kafka at {kafka.bootstrap_servers} failed a request: {in_words(error)}. Its addresses can be reached. Retry, "
        "then check the brokers' logs",
        Exit.UNREACHABLE,
    )


async def partition_counts(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> dict[str, int]:
    """Count the partitions of each of these topics; one that does not exist is left out, and is not created.

    Raises `KafkaError`, for example if the right to describe a topic is missing.
    """
    described = await describe_topics(admin, topics)
    if hidden := [name for name, topic in described.items() if topic.error is TopicAuthorizationFailedError]:
        raise TopicAuthorizationFailedError(hidden)
    return {name: len(topic.partitions) for name, topic in described.items() if topic.partitions}


async def group_offsets(
    admin: AIOKafkaAdminClient, group_id: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the offsets committed by the group, without partitions that have none."""
    wanted = list(partitions)
    offsets = await admin.list_consumer_group_offsets(group_id, partitions=wanted)
    return {partition: committed for partition, committed in offsets.items() if committed.offset >= 0}


class Member(NamedTuple):
    """A member of a consumer group, at a `host` as the broker sees it, and how many `partitions` it has.

    `user_data` is the user data of its subscription. Both are empty during a rebalance.
    """

    member_id: str
    user_data: bytes
    host: str = ""
    partitions: int = 0
    client_id: str = ""


class Group(NamedTuple):
    """A consumer group. `is_balancing` is True during a rebalance; `assignor` is empty meanwhile."""

    is_balancing: bool
    members: Sequence[Member]
    assignor: str = ""


async def describe_group(admin: AIOKafkaAdminClient, group_id: str) -> Group:
    """Describe the group. Raises `KafkaError`."""
    [answer] = await admin.describe_consumer_groups([group_id])
    error_code, _, state, _, assignor, members, *_ = answer.groups[0]
    if error_code:
        raise for_code(error_code)(f"group {group_id}")
    return Group(state == "PreparingRebalance", [_member(*member) for member in members], assignor)


def _member(member_id: str, client_id: str, host: str, metadata: bytes, assignment: bytes) -> Member:
    assigned = ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else ()
    return Member(member_id, _user_data(metadata), host.lstrip("/"), len(assigned), client_id)


def _user_data(metadata: bytes) -> bytes:
    return (ConsumerProtocolMemberMetadata.decode(metadata).user_data or b"") if metadata else b""


async def remove_member(admin: AIOKafkaAdminClient, group_id: str, member_id: str) -> None:
    """Remove a member from the group by a leave request on its behalf; does nothing if it is no member."""
    coordinator = await admin.find_coordinator(group_id)
    # aiokafka has no public call for it; its minor version is pinned.
    await admin._send_request(LeaveGroupRequest(group_id, member_id), coordinator)  # noqa: SLF001
