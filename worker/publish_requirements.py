"""Requirements of publishing, checked before anything is written: topics, rights, a transaction coordinator.

An attempt that Kafka refuses half way leaves aborted records on the topics that it does allow.
"""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from worker import kafka
from worker.publish_errors import CannotPublish, Kind, in_words, missing_rights
from worker.settings import Settings
from worker.topic_metadata import READ, WRITE, TopicMetadata, describe_topics

COORDINATOR_SECONDS = 3.0
"""Time for a young cluster to create its transaction topic."""
ASK_EVERY_SECONDS = 0.2
RIGHTS = {"READ": READ, "WRITE": WRITE}


async def require_publishable(settings: Settings) -> dict[str, int]:
    """Check what publishing needs; returns the number of partitions of each output topic.

    Raises `CannotPublish`, or `Refusal` where no broker answers.
    """
    async with kafka.admin_client(settings.kafka) as admin:
        described = await describe_topics(admin, settings.topics.outputs)
        topics = [described[name] for name in settings.topics.outputs]
        _require_rights(topics)
        _require_topics(topics)
        await _require_coordinator(admin, kafka.transactional_id(settings.kafka))
    return {topic.name: len(topic.partitions) for topic in topics}


def _require_rights(topics: list[TopicMetadata]) -> None:
    """READ is for the receipt; a topic that may not even be described lacks both."""
    missing = {right: [topic.name for topic in topics if _lacks(topic, number)] for right, number in RIGHTS.items()}
    if any(missing.values()):
        raise CannotPublish(missing_rights(missing), Kind.AUTHORIZATION)


def _lacks(topic: TopicMetadata, operation: int) -> bool:
    if topic.error is TopicAuthorizationFailedError:
        return True
    return bool(topic.operations) and operation not in (topic.operations or ())  # empty: the broker does not tell


def _require_topics(topics: list[TopicMetadata]) -> None:
    if missing := sorted(topic.name for topic in topics if not topic.partitions):
        raise CannotPublish(
            f"these topics do not exist: {', '.join(missing)}. Create them with `customer-worker topics create`",
            Kind.CONFIGURATION,
        )


async def _require_coordinator(admin: AIOKafkaAdminClient, transactional_id: str) -> None:
    connections = admin._client  # noqa: SLF001 - no public call looks it up; aiokafka's minor version is pinned
    try:
        async with asyncio.timeout(COORDINATOR_SECONDS):
            while True:
                try:
                    await connections.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
                except CoordinatorNotAvailableError:
                    await asyncio.sleep(ASK_EVERY_SECONDS)
                else:
                    return
    except TransactionalIdAuthorizationFailed as error:
        raise CannotPublish(in_words(error, transactional_id), Kind.AUTHORIZATION) from error
    except TimeoutError:
        raise no_coordinator(transactional_id) from None


def no_coordinator(transactional_id: str) -> CannotPublish:
    """The transaction coordinator cannot be found, or does not give a producer its id."""
    return CannotPublish(in_words(CoordinatorNotAvailableError(), transactional_id), Kind.RETRY)
