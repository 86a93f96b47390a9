"""Errors of Kafka are described in words, without class names and object representations."""

import re
import socket
import ssl

import pytest
from aiokafka import errors
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from worker.kafka.errors import in_words

OF_PYTHON = re.compile(r"[a-z][A-Z]|[()<>\[\]{}'\"]|Error\b|Errno")


def every_kafka_error() -> list[type[KafkaError]]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KafkaError)]
    assert len(kinds) > 100
    return kinds


@pytest.mark.parametrize("kind", every_kafka_error(), ids=lambda kind: kind.__name__)
def test_every_kafka_error_is_words(kind: type[KafkaError]) -> None:
    assert in_words(kind())
    assert not OF_PYTHON.search(in_words(kind()))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TopicAuthorizationFailedError("b"), "not authorized for topic b"),
        (TopicAuthorizationFailedError({"b", "a"}), "not authorized for topic a, b"),
        (errors.GroupAuthorizationFailedError("g"), "not authorized for group g"),
        (KafkaError("Unexpected error during coordination InvalidGroupIdError('x')"), "invalid group id"),
        (KafkaError("Unable to bootstrap from <AddressFamily.AF_INET: 2>"), "kafka"),
        (errors.KafkaConnectionError("Unable to bootstrap from [('h', 1)]"), "no connection to the broker"),
        (errors.SaslAuthenticationFailed("Ticket\nexpired"), "authentication failed: Ticket expired"),
        (TimeoutError(), "no answer in time"),
        (socket.gaierror(-2, "Name or service not known"), "the host name does not resolve"),
        (OSError(111, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (OSError(28, "[Errno 28] whatever"), "no space left on device"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "TLS failed"),
    ],
)
def test_words_name_the_cause(error: Exception, words: str) -> None:
    assert in_words(error).startswith(words)
    assert not OF_PYTHON.search(in_words(error))
