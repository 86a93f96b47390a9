"""Errors of Kafka and of its connections, each as one clause: no class names, no addresses of objects."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterable

from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    CommitFailedError,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    InconsistentGroupProtocolError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    ProducerFenced,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

_CLAUSES: dict[type[BaseException], str] = {
    ClusterAuthorizationFailedError: "not authorized for the cluster",
    GroupCoordinatorNotAvailableError: "the coordinator is not available",
    InconsistentGroupProtocolError: "the group has members with another assignment protocol",
    CommitFailedError: "the group has rebalanced, and another member may have the partitions",
    ProducerFenced: "another producer with this transactional id has started, or the transaction timed out",
    KafkaTimeoutError: "no answer in time",
    RequestTimedOutError: "no answer in time",
    TimeoutError: "no answer in time",
    NodeNotReadyError: "no connection to the broker",
    KafkaConnectionError: "no connection to the broker",
    ConnectionRefusedError: "connection refused",
    ConnectionResetError: "the connection was closed",
    EOFError: "the connection was closed",
    socket.gaierror: "the host name does not resolve",
}
_RESOURCES: dict[type[BaseException], str] = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional id",
}


def in_words(error: BaseException) -> str:
    """Name an error in one clause, without a full stop."""
    for kind, resource in _RESOURCES.items():
        if isinstance(error, kind):
            return f"not authorized for {resource} {_names(error.args)}".rstrip()
    for kind, clause in _CLAUSES.items():
        if isinstance(error, kind):
            return clause
    if isinstance(error, OSError):
        return _system_error(error)
    if isinstance(error, BrokerResponseError):
        return _refusal(error)
    if isinstance(error, KafkaError):
        return _client_error(error)
    return str(error) or _spaced(type(error).__name__)


def _system_error(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not accepted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {(getattr(error, 'reason', None) or 'unknown reason').replace('_', ' ').lower()}"
        case _:  # uvloop writes more into it than the system does
            return os.strerror(error.errno).lower() if error.errno else error.strerror or "input or output failed"


def _refusal(error: BrokerResponseError) -> str:
    """Return the name of the broker's error; that of a failed authentication is less than its message."""
    if isinstance(error, SaslAuthenticationFailed) and any(error.args):
        return f"authentication failed: {' '.join(' '.join(map(str, error.args)).split())}"
    return f"Kafka answered {getattr(error, 'message', 'an unknown error')}"


def _client_error(error: KafkaError) -> str:
    """Return aiokafka's own message; it quotes some errors by their representation, `Name()`."""
    text = " ".join(str(argument) for argument in error.args)
    if quoted := re.search(r"(?:\[Error \d+\] )?\b([A-Z]\w+)\(.*\)|<\w+", text):
        return _spaced(quoted[1] or type(error).__name__)
    return text or _spaced(type(error).__name__)


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Error")).lower()


def _names(arguments: Iterable[object]) -> str:
    names: list[str] = []
    for argument in arguments:
        names += map(str, argument) if isinstance(argument, list | tuple | set | frozenset) else [str(argument)]
    return ", ".join(sorted(names))
