"""Requests and responses of the Kafka protocol that aiokafka lacks, as Kafka's protocol guide defines them."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Array,
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)
from typing_extensions import override


class Uuid(AbstractType[UUID]):  # type: ignore[misc]
    """A UUID, 16 bytes."""

    @classmethod
    @override
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    @override
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_STRING = String("utf-8")
_COMPACT_STRING = CompactString("utf-8")
_TAGS = ("tags", TaggedFields)


def _array(name: str, *fields: Any) -> tuple[str, CompactArray]:
    return name, CompactArray(*fields, _TAGS)


# Fetch


class FetchResponse13(Response):  # type: ignore[misc]
    """Records of partitions; topics are named by id."""

    API_KEY = 1
    API_VERSION = 13
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("session_id", Int32),
        _array(
            "topics",
            ("topic_id", Uuid),
            _array(
                "partitions",
                ("partition", Int32),
                ("error_code", Int16),
                ("highwater_offset", Int64),
                ("last_stable_offset", Int64),
                ("log_start_offset", Int64),
                _array("aborted_transactions", ("producer_id", Int64), ("first_offset", Int64)),
                ("preferred_read_replica", Int32),
                ("message_set", CompactBytes),
            ),
        ),
        _TAGS,
    )


class FetchRequest13(RequestStruct):  # type: ignore[misc]
    """A request of records of partitions by topic id (KIP-516): a recreated topic of the same name does not match."""

    API_KEY = 1
    API_VERSION = 13
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = FetchResponse13
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("max_wait_time", Int32),
        ("min_bytes", Int32),
        ("max_bytes", Int32),
        ("isolation_level", Int8),
        ("session_id", Int32),
        ("session_epoch", Int32),
        _array(
            "topics",
            ("topic_id", Uuid),
            _array(
                "partitions",
                ("partition", Int32),
                ("current_leader_epoch", Int32),
                ("fetch_offset", Int64),
                ("last_fetched_epoch", Int32),
                ("log_start_offset", Int64),
                ("max_bytes", Int32),
            ),
        ),
        _array("forgotten_topics_data", ("topic_id", Uuid), ("partitions", CompactArray(Int32))),
        ("rack_id", _COMPACT_STRING),
        _TAGS,
    )


# Metadata


class MetadataResponse12(Response):  # type: ignore[misc]
    """Brokers and topics, with topic ids, leader epochs and authorized operations."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        _array("brokers", ("node_id", Int32), ("host", _COMPACT_STRING), ("port", Int32), ("rack", _COMPACT_STRING)),
        ("cluster_id", _COMPACT_STRING),
        ("controller_id", Int32),
        _array(
            "topics",
            ("error_code", Int16),
            ("topic", _COMPACT_STRING),
            ("topic_id", Uuid),
            ("is_internal", Boolean),
            _array(
                "partitions",
                ("error_code", Int16),
                ("partition", Int32),
                ("leader", Int32),
                ("leader_epoch", Int32),
                ("replicas", CompactArray(Int32)),
                ("isr", CompactArray(Int32)),
                ("offline_replicas", CompactArray(Int32)),
            ),
            ("operations", Int32),
        ),
        _TAGS,
    )


class MetadataRequest12(RequestStruct):  # type: ignore[misc]
    """A request of the metadata of topics, by id or by name."""

    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponse12
    SCHEMA = Schema(
        _array("topics", ("topic_id", Uuid), ("topic", _COMPACT_STRING)),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


# DescribeGroups and ConsumerGroupDescribe


class DescribeGroupsRequest3(RequestStruct):  # type: ignore[misc]
    """A request of the description of groups; aiokafka's own of this version reads the response of another."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(_STRING)), ("include_authorized_operations", Boolean))


_ASSIGNMENT = Schema(
    _array("topics", ("topic_id", Uuid), ("topic", _COMPACT_STRING), ("partitions", CompactArray(Int32))),
    _TAGS,
)


class ConsumerGroupDescribeResponse1(Response):  # type: ignore[misc]
    """Groups of the consumer protocol (KIP-848), with members of either protocol."""

    API_KEY = 69
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        _array(
            "groups",
            ("error_code", Int16),
            ("error_message", _COMPACT_STRING),
            ("group_id", _COMPACT_STRING),
            ("state", _COMPACT_STRING),
            ("group_epoch", Int32),
            ("assignment_epoch", Int32),
            ("assignor", _COMPACT_STRING),
            _array(
                "members",
                ("member_id", _COMPACT_STRING),
                ("instance_id", _COMPACT_STRING),
                ("rack_id", _COMPACT_STRING),
                ("member_epoch", Int32),
                ("client_id", _COMPACT_STRING),
                ("client_host", _COMPACT_STRING),
                ("topics", CompactArray(_COMPACT_STRING)),
                ("topic_regex", _COMPACT_STRING),
                ("assignment", _ASSIGNMENT),
                ("target_assignment", _ASSIGNMENT),
                ("member_type", Int8),
            ),
            ("operations", Int32),
        ),
        _TAGS,
    )


class ConsumerGroupDescribeRequest1(RequestStruct):  # type: ignore[misc]
    """A request of the description of groups of the consumer protocol."""

    API_KEY = 69
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ConsumerGroupDescribeResponse1
    SCHEMA = Schema(
        ("group_ids", CompactArray(_COMPACT_STRING)),
        ("include_authorized_operations", Boolean),
        _TAGS,
    )


# IncrementalAlterConfigs


class IncrementalAlterConfigsResponse0(Response):  # type: ignore[misc]
    """The error of each resource whose configuration was to be altered; 0 if there is none."""

    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", _STRING),
                ("resource_type", Int8),
                ("resource_name", _STRING),
            ),
        ),
    )


class IncrementalAlterConfigsRequest0(RequestStruct):  # type: ignore[misc]
    """A request to alter entries of the configuration of resources, others than these left as they are."""

    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = IncrementalAlterConfigsResponse0
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", _STRING),
                ("configs", Array(("name", _STRING), ("config_operation", Int8), ("value", _STRING))),
            ),
        ),
        ("validate_only", Boolean),
    )
