"""Configuration of topics in Kafka: read, and altered entry by entry.

aiokafka has no IncrementalAlterConfigs (KIP-339, Kafka 2.3 and later), and its AlterConfigs resets every entry that it
does not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    IncompatibleBrokerVersion,
    NoError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request

from worker.kafka.protocol import IncrementalAlterConfigsRequest0

MAX_MESSAGE_BYTES = "max.message.bytes"
"""The configuration entry for the largest record batch that a topic accepts."""

DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
"""Kafka's default, assumed if the configuration is hidden."""

Configs: TypeAlias = Mapping[str, str]

_TOPIC, _SET = 2, 0
"""Kafka's numbers of a resource type and of an operation."""

_HIDDEN = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, UnknownTopicOrPartitionError)


async def read_configs(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> dict[str, Configs]:
    """Read the effective configuration of each of these topics, the broker's defaults included.

    A topic that does not exist, or whose configuration is not visible (this client may not describe it, or the broker
    has no such request), is left out. Raises `KafkaError`.
    """
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    if not resources:
        return {}
    try:
        responses: Any = await admin.describe_configs(resources)
    except IncompatibleBrokerVersion:
        return {}
    found: dict[str, Configs] = {}
    for code, message, _, topic, entries in (each for response in responses for each in response.resources):
        error = for_code(code)
        if error in _HIDDEN:
            continue
        if error is not NoError:
            raise error(message)
        found[topic] = {name: value for name, value, *_ in entries}
    return found


async def alter_configs(admin: AIOKafkaAdminClient, topic: str, changes: Configs) -> None:
    """Set these entries of the topic's configuration and leave its others as they are. Raises `KafkaError`."""
    # aiokafka has no public call for it; its minor version is pinned.
    response = await admin._send_request(_AlterTopic(topic, changes))  # noqa: SLF001
    for code, message, *_ in response.responses:
        if code:
            raise for_code(code)(message)


class _AlterTopic(Request[IncrementalAlterConfigsRequest0]):  # type: ignore[misc]
    API_KEY = 44

    def __init__(self, topic: str, changes: Configs) -> None:
        self._topic = topic
        self._changes = changes

    def build(self, request_struct_class: type[IncrementalAlterConfigsRequest0]) -> IncrementalAlterConfigsRequest0:
        entries = [(name, _SET, value) for name, value in self._changes.items()]
        return request_struct_class([(_TOPIC, self._topic, entries)], False)  # noqa: FBT003
