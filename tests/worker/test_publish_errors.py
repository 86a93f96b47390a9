"""Each publish error has a kind and a description with its cause and remedy."""

import pytest
from aiokafka import errors
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from worker.outbox.publish_errors import CannotPublish, Kind, in_words, kind_of, pause_seconds, root
from worker.settings import Kafka

SETTINGS = Kafka()
ID = "customer-worker-relay"
EVERY_ERROR = [
    each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, KafkaError | TimeoutError)
]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            TopicAuthorizationFailedError("churned"),
            Kind.AUTHORIZATION,
            "does not grant the worker WRITE on topic churned. Grant it with `kafka-acls.sh",
        ),
        (TopicAuthorizationFailedError({"b", "a"}), Kind.AUTHORIZATION, "WRITE on topic a, WRITE on topic b. Grant"),
        (TopicAuthorizationFailedError(), Kind.AUTHORIZATION, "not authorized for topic"),
        (TransactionalIdAuthorizationFailed(ID), Kind.AUTHORIZATION, f"WRITE on transactional id {ID}. Grant it"),
        (ProducerFenced(), Kind.FENCED, f"took over transactional id {ID}"),
        (InvalidProducerEpoch(), Kind.FENCED, f"took over transactional id {ID}"),
        (InvalidProducerIdMapping(), Kind.EXPIRED, f"expired transactional id {ID}"),
        (InvalidTxnState(), Kind.RETRY, f"ended the transaction of transactional id {ID}"),
        (CoordinatorNotAvailableError(), Kind.RETRY, "transaction.state.log.replication.factor"),
        (MessageSizeTooLargeError(), Kind.CONFIGURATION, "Raise its max.message.bytes"),
        (NotLeaderForPartitionError(), Kind.RETRY, "Kafka answered NOT_LEADER_FOR_PARTITION"),
        (KafkaConnectionError("Connection at a:9092 closed"), Kind.RETRY, "no connection to the broker"),
        (TimeoutError(), Kind.RETRY, "no answer in time"),
        (TimeoutError("no answer for 20 s"), Kind.RETRY, "no answer for 20 s"),
        (OSError(111, "connection refused"), Kind.RETRY, "connection refused"),
        (CannotPublish("the topic is missing", Kind.CONFIGURATION), Kind.CONFIGURATION, "the topic is missing"),
    ],
)
def test_error_has_its_kind_and_words(error: Exception, kind: Kind, words: str) -> None:
    assert kind_of(error) is kind
    assert words in in_words(error, SETTINGS)


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_words_of_any_error_hold_no_python(error: type[Exception]) -> None:
    words = in_words(error(), SETTINGS)
    assert words
    assert repr(error()) not in words
    assert "object at" not in words


def test_first_error_is_unwrapped() -> None:
    wrapped = KafkaError("Unexpected error during batch delivery")
    wrapped.__cause__ = InvalidProducerIdMapping()
    assert root(wrapped) is wrapped.__cause__
    assert root(ProducerFenced()).__class__ is ProducerFenced


def test_pauses_grow_to_a_limit() -> None:
    pauses = [pause_seconds(failures, Kind.RETRY) for failures in range(1, 9)]
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert pause_seconds(100_000, Kind.RETRY) == 10.0
    assert pause_seconds(100_000, Kind.AUTHORIZATION) == 30.0
