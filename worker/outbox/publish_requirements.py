"""Requirements of publishing, checked before anything is written: topics, rights, a transaction coordinator.

An attempt that Kafka refuses half way leaves aborted records on the topics with sufficient rights.
"""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    TransactionalIdAuthorizationFailed,
)

from worker.kafka import clients as kafka
from worker.kafka.rights import OPERATIONS, Right, is_granted_on, missing_rights
from worker.kafka.topic_metadata import TopicMetadata, describe_topics
from worker.outbox.publish_errors import CannotPublish, Kind, in_words
from worker.settings import Kafka, Settings

COORDINATOR_SECONDS = 3.0
"""Time for a young cluster to create its transaction topic."""
ASK_EVERY_SECONDS = 0.2


async def require_publishable(settings: Settings) -> dict[str, int]:
    """Check the requirements of publishing; returns the number of partitions of each output topic.

    Raises `CannotPublish`, or `Refusal` if no broker answers.
    """
    async with kafka.admin_client(settings.kafka) as admin:
        described = await describe_topics(admin, settings.topics.outputs)
        topics = [described[name] for name in settings.topics.outputs]
        _require_rights(settings.kafka, topics)
        _require_topics(topics)
        await _require_coordinator(admin, settings.kafka)
    return {topic.name: len(topic.partitions) for topic in topics}


def _require_rights(settings: Kafka, topics: list[TopicMetadata]) -> None:
    """Check READ, for the receipts, and WRITE."""
    missing = [
        Right(name, "topic", topic.name)
        for topic in topics
        for name, number in OPERATIONS.items()
        if is_granted_on(topic, number) is False
    ]
    if missing:
        raise CannotPublish(str(missing_rights(settings, missing)), Kind.AUTHORIZATION)


def _require_topics(topics: list[TopicMetadata]) -> None:
    if missing := sorted(topic.name for topic in topics if not topic.partitions):
        raise CannotPublish(
            f"these topics do not exist: {', '.join(missing)}. Create them with `customer-worker topics create`",
            Kind.CONFIGURATION,
        )


async def _require_coordinator(admin: AIOKafkaAdminClient, settings: Kafka) -> None:
    try:
        async with asyncio.timeout(COORDINATOR_SECONDS):
            while not await _has_coordinator(admin, kafka.transactional_id(settings)):  # noqa: ASYNC110 - it is remote
                await asyncio.sleep(ASK_EVERY_SECONDS)
    except TransactionalIdAuthorizationFailed as error:
        raise CannotPublish(in_words(error, settings), Kind.AUTHORIZATION) from error
    except TimeoutError:
        raise no_coordinator(settings) from None


async def _has_coordinator(admin: AIOKafkaAdminClient, transactional_id: str) -> bool:
    connections = admin._client  # noqa: SLF001 - no public call looks it up; aiokafka's minor version is pinned
    try:
        await connections.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    except CoordinatorNotAvailableError:
        return False
    return True


def no_coordinator(settings: Kafka) -> CannotPublish:
    """Return the error of a transaction coordinator that is not found, or does not assign a producer id."""
    return CannotPublish(in_words(CoordinatorNotAvailableError(), settings), Kind.RETRY)
