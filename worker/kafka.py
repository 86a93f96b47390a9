"""Connections to Kafka, all made from the one settings object; and what the worker asks of a cluster."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata

from worker.settings import Kafka, Settings
from worker.stopping import Exit, Refusal
from worker.topic_metadata import describe_topics

CONNECT_SECONDS = 15.0
CONNECTIONS_MAX_IDLE_MS = 180_000
"""Idle connections are closed from this side first: brokers do it after 10 minutes, load balancers after 4, some in
silence, so that the next request on such a connection waits until it times out."""
PUBLISH_BATCH_BYTES = 512 * 1024
TRANSACTION_TIMEOUT_MS = 30_000
DEAD_LETTER_MAX_BYTES = 4 * 1024 * 1024
"""The largest record taken by a dead letter topic: the largest one of a default topic (1 MiB), and room to spare."""

LARGEST_BATCH = "max.message.bytes"
DEFAULT_LARGEST_BATCH = 1_048_588
"""What a topic takes where nobody has set it otherwise."""


def ssl_context(kafka: Kafka) -> ssl.SSLContext | None:
    """The certificates that the settings name, None where there is no TLS. Raises `Refusal` when they are unusable."""
    if not kafka.security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
        if kafka.ssl_certfile:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile)
    except (ssl.SSLError, OSError) as error:
        raise Refusal(
            f"the certificates cannot be read ({error}). Check that CUSTOMER_WORKER_KAFKA__SSL_CAFILE, _SSL_CERTFILE "
            "and _SSL_KEYFILE name readable PEM files that belong together, the key without a password",
            Exit.CONFIGURATION,
        ) from error
    return context


def client_options(kafka: Kafka) -> dict[str, Any]:
    """The connection settings as aiokafka takes them."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers.replace(" ", "").split(","),
        "security_protocol": kafka.security_protocol,
        "ssl_context": ssl_context(kafka),
        "connections_max_idle_ms": CONNECTIONS_MAX_IDLE_MS,
    }
    if kafka.sasl_mechanism is not None:
        password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": password,
        }
    return options


def transactional_id(kafka: Kafka) -> str:
    """The id under which the relay publishes; one for the whole group, so that a new relay fences the one before."""
    return f"{kafka.group_id}-relay"


def relay_producer(kafka: Kafka) -> AIOKafkaProducer:
    """A producer for the relay. Starting it ends whatever transaction its predecessor left open."""
    return AIOKafkaProducer(
        **client_options(kafka),
        transactional_id=transactional_id(kafka),
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        max_batch_size=PUBLISH_BATCH_BYTES,
        max_request_size=DEAD_LETTER_MAX_BYTES,
        request_timeout_ms=10_000,
    )


def plain_producer(kafka: Kafka, batch_bytes: int) -> AIOKafkaProducer:
    """A producer that keeps the order and writes nothing twice, in batches of at most so many bytes."""
    return AIOKafkaProducer(
        **client_options(kafka),
        enable_idempotence=True,
        max_batch_size=batch_bytes,
        max_request_size=DEAD_LETTER_MAX_BYTES,
        request_timeout_ms=10_000,
    )


def committed_reader(kafka: Kafka, **options: Any) -> AIOKafkaConsumer:
    """A reader of what is committed, outside any group. It fails where what it is to read has been deleted."""
    return AIOKafkaConsumer(
        **client_options(kafka),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",  # a jump to the end would pass for having read
        **options,
    )


@asynccontextmanager
async def admin_client(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client. Raises `Refusal` when no broker answers, or one answers with an error."""
    admin = AIOKafkaAdminClient(**client_options(kafka), request_timeout_ms=int(CONNECT_SECONDS * 1000))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await admin.start()
    except (KafkaError, OSError, TimeoutError) as error:
        await admin.close()
        raise unreachable(kafka, error) from error
    try:
        yield admin
    except KafkaError as error:
        raise unreachable(kafka, error) from error
    finally:
        await admin.close()


def unreachable(kafka: Kafka, error: BaseException) -> Refusal:
    """No broker answers."""
    detail = str(error) or type(error).__name__
    return Refusal(
        f"Kafka cannot be reached at {kafka.bootstrap_servers} ({detail}). Check that it runs there, and "
        "CUSTOMER_WORKER_KAFKA__BOOTSTRAP_SERVERS and the security settings",
        Exit.UNREACHABLE,
    )


async def partition_counts(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> dict[str, int]:
    """Count the partitions of each of these topics; one that does not exist is left out, and is not created."""
    described = await describe_topics(admin, topics)
    return {name: len(topic.partitions) for name, topic in described.items() if topic.partitions}


async def topic_configs(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """The topic's configuration by name; empty where this client may not see it."""
    responses: Any = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {entry[0]: entry[1] for response in responses for resource in response.resources for entry in resource[4]}


async def largest_batch(admin: AIOKafkaAdminClient, topic: str) -> int:
    """The largest batch of records that the topic takes, in bytes."""
    return int((await topic_configs(admin, topic)).get(LARGEST_BATCH, DEFAULT_LARGEST_BATCH))


async def group_offsets(
    admin: AIOKafkaAdminClient, group_id: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """The offsets committed by the group; a partition without one is left out."""
    wanted = list(partitions)
    offsets = await admin.list_consumer_group_offsets(group_id, partitions=wanted)
    return {partition: committed for partition, committed in offsets.items() if committed.offset >= 0}


class Member(NamedTuple):
    """A member of a consumer group, at a `host` as the broker sees it, and how many `partitions` it has.

    `user_data` is what it said of itself. Both are empty while the group is being balanced.
    """

    member_id: str
    user_data: bytes
    host: str = ""
    partitions: int = 0


class Group(NamedTuple):
    """A consumer group. `is_balancing`: it waits for its members to join again."""

    is_balancing: bool
    members: Sequence[Member]


async def describe_group(admin: AIOKafkaAdminClient, group_id: str) -> Group:
    """The group as its coordinator has it. Raises `KafkaError`."""
    [answer] = await admin.describe_consumer_groups([group_id])
    error_code, _, state, _, _, members, *_ = answer.groups[0]
    if error_code:
        raise for_code(error_code)(f"group {group_id}")
    return Group(state == "PreparingRebalance", [_member(*member) for member in members])


def _member(member_id: str, _: str, host: str, metadata: bytes, assignment: bytes) -> Member:
    assigned = ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else ()
    return Member(member_id, _user_data(metadata), host.lstrip("/"), len(assigned))


def _user_data(metadata: bytes) -> bytes:
    return (ConsumerProtocolMemberMetadata.decode(metadata).user_data or b"") if metadata else b""


async def remove_member(admin: AIOKafkaAdminClient, group_id: str, member_id: str) -> None:
    """Take a member out of the group, as it would by leaving; nothing happens where it is no member."""
    coordinator = await admin.find_coordinator(group_id)
    # aiokafka has no public call for it; its minor version is pinned.
    await admin._send_request(LeaveGroupRequest(group_id, member_id), coordinator)  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as `topics create` makes it."""

    name: str
    configs: Mapping[str, str]


def topic_plans(settings: Settings) -> list[TopicPlan]:
    """The five topics and what each needs.

    `customer.churned` is the receipt of what was published, so retention must never cut it: it holds one event a
    customer at most, and is compacted. Dead letters wait for a person: they are kept until someone deletes them, and
    may be larger than what they came as.
    """
    topics = settings.topics
    churned, *dead_letters = topics.outputs
    forever = {"retention.ms": "-1", "retention.bytes": "-1"}
    return [
        *(TopicPlan(name, {}) for name in topics.inputs),
        TopicPlan(churned, {"cleanup.policy": "compact"}),
        *(TopicPlan(name, forever | {LARGEST_BATCH: str(DEAD_LETTER_MAX_BYTES)}) for name in dead_letters),
    ]


async def create_topics(settings: Settings, partitions: int, replication: int) -> dict[str, bool]:
    """Create those of the five topics that do not exist; which were created. Raises `Refusal`."""
    async with admin_client(settings.kafka) as admin:
        created = {}
        for plan in topic_plans(settings):
            topic = NewTopic(plan.name, partitions, replication, topic_configs=dict(plan.configs))
            try:
                response = await admin.create_topics([topic])
            except TopicAlreadyExistsError:
                created[plan.name] = False
                continue
            except KafkaError as error:
                raise Refusal(f"topic {plan.name} could not be created: {error}", Exit.UNREACHABLE) from error
            created[plan.name] = _was_created(plan.name, response)
        return created


def _was_created(name: str, response: Any) -> bool:
    for _, code, *message in response.topic_errors:
        error = for_code(code)
        if error is TopicAlreadyExistsError:
            return False
        if code:
            detail = (message[0] if message else None) or error.__name__
            raise Refusal(f"topic {name} could not be created: {detail}", Exit.NO)
    return True
