"""Description of the worker's consumer group: members of the classic and of the consumer protocol, rights.

aiokafka cannot describe a group of the consumer protocol (KIP-848). A group becomes one as soon as one member joins
with `group.protocol=consumer`: the other members stay, and the broker assigns the partitions among all of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupIdNotFound,
    IncompatibleBrokerVersion,
    for_code,
)
from aiokafka.protocol.api import Request, Response
from aiokafka.protocol.coordination import FindCoordinatorRequest

from worker.kafka.protocol import ConsumerGroupDescribeRequest1, DescribeGroupsRequest3
from worker.kafka.topic_metadata import NOT_TOLD, Client

GROUP = 0
"""The kind of coordinator, in a request to find one."""
CONSUMER_PROTOCOL = 1
"""The type of a member that joined with the consumer protocol."""
DEAD = "Dead"
"""The state that a broker returns for a group that does not exist, or has another protocol."""


class GroupMember(NamedTuple):
    """A member, at a `host` as the broker sees it, with the topics it subscribes to and the partitions it has."""

    member_id: str
    client_id: str
    host: str
    topics: frozenset[str]
    partitions: frozenset[TopicPartition]
    is_consumer_protocol: bool = False

    @property
    def shown(self) -> str:
        """Name and host of the member, for operators."""
        return f"{self.client_id} at {self.host}"


class Membership(NamedTuple):
    """A group. `operations` are the `AclOperation`s that this client may perform on it, None if they are unknown."""

    state: str
    members: list[GroupMember]
    operations: frozenset[int] | None

    @property
    def is_stable(self) -> bool:
        """Whether the partitions are assigned."""
        return self.state == "Stable"


def foreign_members(members: Iterable[GroupMember], own_name: str, topics: Iterable[str]) -> list[GroupMember]:
    """Return the members that are no customer workers, by protocol, name (without version) or subscription.

    A member that is joining has no subscription yet.
    """
    inputs = frozenset(topics)
    return [
        member
        for member in members
        if member.is_consumer_protocol
        or member.client_id.partition("-")[0] != own_name.partition("-")[0]
        or (member.topics and member.topics != inputs)
    ]


def client_name(client: Client) -> str:
    """Return the client id that members of a group see."""
    name: str = client._client._client_id  # noqa: SLF001 - there is no public call for it
    return name


async def describe_membership(client: Client, group_id: str) -> Membership:
    """Request the description of the group from its coordinator.

    Raises `KafkaError`, for example if the right to describe the group is missing, and `NotImplementedError` if the
    broker is older than 2.3.
    """
    coordinator = await _coordinator(client, group_id)
    [group] = (await _send(client, coordinator, _DescribeGroup(group_id))).to_object()["groups"]
    if group["error_code"]:
        raise for_code(group["error_code"])(f"group {group_id}")
    if group["state"] == DEAD:
        try:
            return await _describe_consumer_group(client, coordinator, group_id)
        except (NotImplementedError, IncompatibleBrokerVersion, GroupIdNotFound):
            pass  # a broker older than 4.0, or no such group
    members = [_classic_member(member) for member in group["members"]]
    return Membership(group["state"], members, _operations(group["authorized_operations"]))


async def _describe_consumer_group(client: Client, coordinator: int, group_id: str) -> Membership:
    [group] = (await _send(client, coordinator, _DescribeConsumerGroup(group_id))).to_object()["groups"]
    if group["error_code"]:
        raise for_code(group["error_code"])(f"group {group_id}")
    members = [_member(member) for member in group["members"]]
    return Membership(group["state"], members, _operations(group["operations"]))


async def _coordinator(client: Client, group_id: str) -> int:
    connections = client._client  # noqa: SLF001 - no public call takes a request; aiokafka's minor version is pinned
    answer = await connections.send(connections.get_random_node(), FindCoordinatorRequest(group_id, GROUP))
    if answer.error_code:
        raise for_code(answer.error_code)(f"group {group_id}")
    if answer.coordinator_id < 0:
        raise GroupCoordinatorNotAvailableError
    return int(answer.coordinator_id)


async def _send(client: Client, node: int, request: Request[Any]) -> Response:
    return await client._client.send(node, request)  # noqa: SLF001 - as above


def _operations(bits: int) -> frozenset[int] | None:
    return None if bits == NOT_TOLD else frozenset(n for n in range(31) if bits >> n & 1)


def _classic_member(member: Mapping[str, Any]) -> GroupMember:
    metadata, assignment = member["member_metadata"], member["member_assignment"]
    try:
        topics = frozenset(ConsumerProtocolMemberMetadata.decode(metadata).subscription if metadata else ())
        partitions = frozenset(ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else ())
    except (ValueError, struct.error):  # no consumer has written it
        topics, partitions = frozenset(), frozenset()
    return GroupMember(member["member_id"], member["client_id"], member["client_host"].lstrip("/"), topics, partitions)


def _member(member: Mapping[str, Any]) -> GroupMember:
    return GroupMember(
        member["member_id"],
        member["client_id"],
        member["client_host"].lstrip("/"),
        frozenset(member["topics"]),
        frozenset(
            TopicPartition(topic["topic"], partition)
            for topic in member["assignment"]["topics"]
            for partition in topic["partitions"]
        ),
        is_consumer_protocol=member["member_type"] == CONSUMER_PROTOCOL,
    )


class _DescribeGroup(Request[DescribeGroupsRequest3]):  # type: ignore[misc]
    API_KEY = 15

    def __init__(self, group_id: str) -> None:
        self._group_id = group_id

    def build(self, request_struct_class: type[DescribeGroupsRequest3]) -> DescribeGroupsRequest3:
        return request_struct_class([self._group_id], True)  # noqa: FBT003


class _DescribeConsumerGroup(Request[ConsumerGroupDescribeRequest1]):  # type: ignore[misc]
    API_KEY = 69

    def __init__(self, group_id: str) -> None:
        self._group_id = group_id

    def build(self, request_struct_class: type[ConsumerGroupDescribeRequest1]) -> ConsumerGroupDescribeRequest1:
        return request_struct_class([self._group_id], True, {})  # noqa: FBT003
