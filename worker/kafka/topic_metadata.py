"""Topics as the cluster describes them: identity, partitions, leaders and rights. Never creates a topic.

aiokafka speaks version 5 of the Metadata API at most; topic ids (KIP-516), leader epochs and authorized operations come
with version 12, which every Kafka since 3.0 answers. An older broker describes topics without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import aiokafka.admin.client
import aiokafka.client
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    KafkaError,
    NoError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, Response
from aiokafka.protocol.metadata import MetadataRequest

from worker.kafka.protocol import MetadataRequest12

NO_ID = UUID(int=0)
NOT_TOLD = -(2**31)
"""The broker's value for rights that were not requested or are unknown."""

READ, WRITE, CREATE, DESCRIBE, DESCRIBE_CONFIGS = 3, 4, 5, 8, 10
"""Kafka's numbers of operations (`AclOperation`)."""

Client: TypeAlias = AIOKafkaAdminClient | AIOKafkaConsumer
"""A started client."""


def forbid_topic_creation() -> None:
    """Make every aiokafka client of this process request metadata without creating topics.

    aiokafka allows the creation in each of its requests, those of FastStream's consumer included, and has no setting
    for it: on a broker with `auto.create.topics.enable` (Kafka's default) a misspelt or a deleted topic would appear
    again, empty and with the broker's retention.
    """
    request = partial(MetadataRequest, allow_auto_topic_creation=False)
    aiokafka.client.MetadataRequest = request
    aiokafka.admin.client.MetadataRequest = request


class PartitionMetadata(NamedTuple):
    """A partition: its leader's node id (-1: none) and the leader epoch (-1: unknown)."""

    leader: int
    leader_epoch: int


class TopicMetadata(NamedTuple):
    """A topic. `error` is None if the topic exists and may be described; else the rest is empty.

    `topic_id` and `operations` (the `AclOperation`s that this client may perform) are None if the broker does not
    return them.
    """

    name: str
    error: type[KafkaError] | None
    topic_id: UUID | None
    partitions: Mapping[int, PartitionMetadata]
    operations: frozenset[int] | None

    @property
    def unreadable_because(self) -> str | None:
        """Reason why this client cannot read the topic; None if there is none."""
        if self.error is UnknownTopicOrPartitionError:
            return "the topic does not exist"
        may_read = self.operations is None or READ in self.operations
        if self.error is TopicAuthorizationFailedError or (self.error is None and not may_read):
            return "the right READ on the topic is missing"
        return None


async def describe_topics(client: Client, topics: Iterable[str]) -> dict[str, TopicMetadata]:
    """Describe these topics, by name; a missing or hidden one has its error. Raises `KafkaError`."""
    names = list(topics)
    try:
        response = await _send(client, _DescribeTopics(names))
        described = map(_topic, response.to_object()["topics"])
    except NotImplementedError:  # a broker older than 3.0
        response = await _send(client, MetadataRequest(names, allow_auto_topic_creation=False))
        described = map(_topic_without_id, response.to_object()["topics"])
    return {topic.name: topic for topic in described}


async def _send(client: Client, request: Request[Any]) -> Response:
    connections = client._client  # noqa: SLF001 - no public call takes a request; aiokafka's minor version is pinned
    return await connections.send(connections.get_random_node(), request)


def _topic(answer: Mapping[str, Any]) -> TopicMetadata:
    operations = answer["operations"]
    return TopicMetadata(
        name=answer["topic"],
        error=_error(answer["error_code"]),
        topic_id=None if answer["topic_id"] == NO_ID else answer["topic_id"],
        partitions={each["partition"]: _partition(each) for each in answer["partitions"]},
        operations=None if operations == NOT_TOLD else frozenset(n for n in range(31) if operations >> n & 1),
    )


def _topic_without_id(answer: Mapping[str, Any]) -> TopicMetadata:
    partitions = {each["partition"]: PartitionMetadata(each["leader"], -1) for each in answer["partitions"]}
    return TopicMetadata(answer["topic"], _error(answer["error_code"]), None, partitions, None)


def _partition(answer: Mapping[str, Any]) -> PartitionMetadata:
    return PartitionMetadata(answer["leader"], answer["leader_epoch"])


def _error(code: int) -> type[KafkaError] | None:
    error: type[KafkaError] = for_code(code)
    return None if error is NoError else error


class _DescribeTopics(Request[MetadataRequest12]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[MetadataRequest12]) -> MetadataRequest12:
        return request_struct_class([(NO_ID, topic, {}) for topic in self._topics], False, True, {})  # noqa: FBT003
