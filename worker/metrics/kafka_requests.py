"""Requests to Kafka that a worker repeats: failures by operation and cause, and the time of the last success."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

_AUTHORIZATION = (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
_UNREACHABLE = (KafkaConnectionError, NodeNotReadyError, OSError)
_TIMEOUT = (KafkaTimeoutError, RequestTimedOutError, TimeoutError)


class Operation(StrEnum):
    """A repeated request, or a transaction."""

    POLL = "poll"
    COMMIT_OFFSETS = "commit_offsets"
    DESCRIBE_TOPICS = "describe_topics"
    PUBLISH = "publish"


class FailureCause(StrEnum):
    """Cause of a failed request."""

    AUTHORIZATION = "authorization"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    OTHER = "other"


class KafkaRequests:
    """Outcomes of the requests of one worker. Polls count failures only: an empty one is no news."""

    def __init__(self) -> None:
        self._failures: Counter[tuple[str, str]] = Counter(
            {(operation.value, cause.value): 0 for operation in Operation for cause in FailureCause}
        )
        self._last_success: dict[Operation, float] = {}

    def failed(self, operation: Operation, cause: FailureCause) -> None:
        """Count a failure."""
        self._failures[operation.value, cause.value] += 1

    def succeeded(self, operation: Operation) -> None:
        """Note a success."""
        self._last_success[operation] = time.time()

    def families(self) -> Iterator[Metric]:
        """Yield the metrics in the types of the client library."""
        failures = CounterMetricFamily(
            "customer_worker_kafka_failures",
            "Failed requests to Kafka, by operation and cause; they are repeated.",
            labels=["operation", "cause"],
        )
        for labels, count in self._failures.items():
            failures.add_metric(labels, count)
        yield failures
        success = GaugeMetricFamily(
            "customer_worker_kafka_last_success_timestamp_seconds",
            "Time of the last successful request since the start, in seconds since 1970; no series before the first.",
            labels=["operation"],
        )
        for operation, at in self._last_success.items():
            success.add_metric([operation.value], at)
        yield success


def failure_cause(error: BaseException) -> FailureCause:
    """Classify the error of a request."""
    if isinstance(error, _AUTHORIZATION):
        return FailureCause.AUTHORIZATION
    if isinstance(error, _TIMEOUT):  # a `TimeoutError` is an `OSError`, too
        return FailureCause.TIMEOUT
    return FailureCause.UNREACHABLE if isinstance(error, _UNREACHABLE) else FailureCause.OTHER
