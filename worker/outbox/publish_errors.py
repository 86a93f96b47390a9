"""Errors of publishing: the kind and the words of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CoordinatorNotAvailableError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTopicError,
    InvalidTransactionTimeout,
    InvalidTxnState,
    KafkaError,
    MessageSizeTooLargeError,
    NotEnoughReplicasAfterAppendError,
    NotEnoughReplicasError,
    PolicyViolationError,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
)

from worker.kafka import clients as kafka
from worker.kafka import errors as kafka_errors
from worker.kafka.batch_sizes import RecordTooLarge
from worker.kafka.rights import Right, missing_rights
from worker.settings import Kafka


class Kind(StrEnum):
    """Kind of a failure, by its remedy: time (`retry`), a new producer (`fenced`, `expired`), or an operator."""

    RETRY = "retry"
    FENCED = "fenced"
    EXPIRED = "expired"
    AUTHORIZATION = "authorization"
    CONFIGURATION = "configuration"


LONGEST_PAUSE_SECONDS: Mapping[Kind, float] = {Kind.AUTHORIZATION: 30.0, Kind.CONFIGURATION: 30.0}
"""Between two attempts; other kinds wait up to `DEFAULT_PAUSE_SECONDS`."""
DEFAULT_PAUSE_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.2
_PAUSE_DOUBLES_AT_MOST = 10

_KINDS: Mapping[Kind, tuple[type[BaseException], ...]] = {
    Kind.FENCED: (ProducerFenced, InvalidProducerEpoch),
    Kind.EXPIRED: (InvalidProducerIdMapping,),
    Kind.AUTHORIZATION: (
        TopicAuthorizationFailedError,
        TransactionalIdAuthorizationFailed,
        ClusterAuthorizationFailedError,
    ),
    Kind.CONFIGURATION: (
        MessageSizeTooLargeError,
        RecordListTooLargeError,
        InvalidTransactionTimeout,
        InvalidTopicError,
        PolicyViolationError,
        RecordTooLarge,
    ),
}

_TAKEN_OVER = "another producer took over transactional id {transactional_id}, or its transaction timed out"
_IN_SYNC = "the output topics have fewer in-sync replicas than min.insync.replicas. Check the brokers"
_TOO_LARGE = "an output topic refuses a batch as too large. Raise its max.message.bytes"
_WORDS: Mapping[type[BaseException], str] = {
    ProducerFenced: _TAKEN_OVER,
    InvalidProducerEpoch: _TAKEN_OVER,
    InvalidProducerIdMapping: (
        "the broker has expired transactional id {transactional_id} (transactional.id.expiration.ms)"
    ),
    InvalidTxnState: "the broker has ended the transaction of transactional id {transactional_id}",
    ClusterAuthorizationFailedError: (
        "not authorized: IDEMPOTENT_WRITE on the cluster is missing. Grant it to the worker's user"
    ),
    CoordinatorNotAvailableError: (
        "the transaction coordinator of {transactional_id} is not available. Check that the brokers can keep the topic "
        "__transaction_state: transaction.state.log.replication.factor brokers must run, and "
        "transaction.state.log.min.isr of its replicas be in sync"
    ),
    InvalidTransactionTimeout: "the brokers' transaction.max.timeout.ms is shorter than 30 s. Raise it",
    MessageSizeTooLargeError: _TOO_LARGE,
    RecordListTooLargeError: _TOO_LARGE,
    NotEnoughReplicasError: _IN_SYNC,
    NotEnoughReplicasAfterAppendError: _IN_SYNC,
    UnknownTopicOrPartitionError: "an output topic or one of its partitions does not exist",
}


class CannotPublish(Exception):
    """A missing requirement of publishing, found before any write. The message has the remedy."""

    def __init__(self, words: str, kind: Kind) -> None:
        super().__init__(words)
        self.kind = kind


def kind_of(error: BaseException) -> Kind:
    """Classify the error of an attempt to publish."""
    if isinstance(error, CannotPublish):
        return error.kind
    return next((kind for kind, types in _KINDS.items() if isinstance(error, types)), Kind.RETRY)


def in_words(error: BaseException, settings: Kafka) -> str:
    """Describe the error of an attempt to publish: the failure, and the remedy if an operator has one."""
    transactional_id = kafka.transactional_id(settings)
    if missing := list(_missing(error, transactional_id)):
        return str(missing_rights(settings, missing))
    if isinstance(error, TimeoutError) and str(error):
        return str(error)
    if words := next((words for of, words in _WORDS.items() if isinstance(error, of)), None):
        return words.format(transactional_id=transactional_id)
    return kafka_errors.in_words(error)


def _missing(error: BaseException, transactional_id: str) -> Iterator[Right]:
    """Yield the missing rights of a refused request. aiokafka reports a topic's name, a set of names, or none."""
    if isinstance(error, TransactionalIdAuthorizationFailed):
        yield Right("WRITE", "transactional-id", transactional_id)
    if isinstance(error, TopicAuthorizationFailedError) and error.args:
        named = error.args[0]
        yield from (Right("WRITE", "topic", name) for name in ([named] if isinstance(named, str) else sorted(named)))


def pause_seconds(failures: int, kind: Kind) -> float:
    """Return the pause after that many failures in a row, before jitter."""
    longest = LONGEST_PAUSE_SECONDS.get(kind, DEFAULT_PAUSE_SECONDS)
    return min(longest, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, _PAUSE_DOUBLES_AT_MOST))


def root(error: BaseException) -> BaseException:
    """Unwrap the plain `KafkaError`s that aiokafka's sender puts around the error it failed with."""
    while type(error) is KafkaError and isinstance(error.__cause__, KafkaError):
        error = error.__cause__
    return error
