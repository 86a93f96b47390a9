"""Each publish error has a kind and words: no Python, the cause by name, what to do."""

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

from worker.publish_errors import CannotPublish, Kind, in_words, kind_of, missing_rights, pause_seconds, root

ID = "customer-worker-relay"
EVERY_ERROR = [
    each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, KafkaError | TimeoutError)
]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (TopicAuthorizationFailedError("churned"), Kind.AUTHORIZATION, "WRITE on churned is missing. Grant it"),
        (TopicAuthorizationFailedError({"b", "a"}), Kind.AUTHORIZATION, "WRITE on a, WRITE on b are missing"),
        (TopicAuthorizationFailedError(), Kind.AUTHORIZATION, "WRITE on the output topics is missing"),
        (TransactionalIdAuthorizationFailed(ID), Kind.AUTHORIZATION, f"WRITE on transactional id {ID} is missing"),
        (ProducerFenced(), Kind.FENCED, f"took over transactional id {ID}"),
        (InvalidProducerEpoch(), Kind.FENCED, f"took over transactional id {ID}"),
        (InvalidProducerIdMapping(), Kind.EXPIRED, f"expired transactional id {ID}"),
        (InvalidTxnState(), Kind.RETRY, f"ended the transaction of transactional id {ID}"),
        (CoordinatorNotAvailableError(), Kind.RETRY, "transaction.state.log.replication.factor"),
        (MessageSizeTooLargeError(), Kind.CONFIGURATION, "Raise its max.message.bytes"),
        (NotLeaderForPartitionError(), Kind.RETRY, "Kafka answered NOT_LEADER_FOR_PARTITION: "),
        (KafkaConnectionError("Connection at a:9092 closed"), Kind.RETRY, "Connection at a:9092 closed"),
        (TimeoutError(), Kind.RETRY, "Kafka did not answer in time"),
        (TimeoutError("no answer for 20 s"), Kind.RETRY, "no answer for 20 s"),
        (OSError(111, "Connection refused"), Kind.RETRY, "Connection refused"),
        (CannotPublish("the topic is missing", Kind.CONFIGURATION), Kind.CONFIGURATION, "the topic is missing"),
    ],
)
def test_error_has_its_kind_and_words(error: Exception, kind: Kind, words: str) -> None:
    assert kind_of(error) is kind
    assert words in in_words(error, ID)


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_words_of_any_error_hold_no_python(error: type[Exception]) -> None:
    words = in_words(error(), ID)
    assert words
    assert repr(error()) not in words
    assert "object at" not in words


def test_first_error_is_unwrapped() -> None:
    wrapped = KafkaError("Unexpected error during batch delivery")
    wrapped.__cause__ = InvalidProducerIdMapping()
    assert root(wrapped) is wrapped.__cause__
    assert root(ProducerFenced()).__class__ is ProducerFenced


def test_missing_rights_are_listed_by_right() -> None:
    words = missing_rights({"READ": ["churned"], "WRITE": ["churned", "a-dlt"]})
    assert "READ on churned, WRITE on a-dlt, WRITE on churned are missing. Grant them" in words


def test_pauses_grow_to_a_bound_for_ever() -> None:
    pauses = [pause_seconds(failures, Kind.RETRY) for failures in range(1, 9)]
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert pause_seconds(100_000, Kind.RETRY) == 10.0
    assert pause_seconds(100_000, Kind.AUTHORIZATION) == 30.0
