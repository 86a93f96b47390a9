"""A transaction has all messages or none; a failed one raises the first failure."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaError,
    ProducerFenced,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import RecordMetadata

from tests.support.builders import ADA, BOB, CHURNED, EVE
from tests.worker.output_topics import event
from worker.kafka import clients as kafka
from worker.messages.churned_event import Envelope
from worker.outbox import publisher as module
from worker.outbox.publish_errors import in_words
from worker.outbox.publisher import Publisher, _first_failure, _retrieve
from worker.settings import Kafka

CONSEQUENCE = InvalidTxnState()


def first_failure(of_transaction: BaseException | None, error: BaseException) -> BaseException:
    """Return the failure raised by a transaction that ended so, when a send has failed with `error`."""

    async def fail() -> BaseException:
        transaction: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if of_transaction is not None:
            transaction.set_exception(of_transaction)
        return _first_failure(transaction, error)

    return asyncio.run(fail())


def test_refused_right_is_raised_instead_of_its_consequences() -> None:
    refused = TopicAuthorizationFailedError({"churned"})
    assert first_failure(refused, CONSEQUENCE) is refused
    assert first_failure(refused, IllegalOperation("Can't send messages while not in transaction")) is refused
    assert first_failure(None, refused) is refused


def test_error_of_the_sender_is_unwrapped() -> None:
    wrapped = KafkaError("Unexpected error during batch delivery")
    wrapped.__cause__ = InvalidProducerIdMapping()
    assert first_failure(wrapped, KafkaError("Unexpected error during batch delivery")) is wrapped.__cause__


def test_send_outside_a_transaction_counts_as_fenced() -> None:
    assert isinstance(first_failure(None, IllegalOperation("not in transaction")), ProducerFenced)


def test_failed_assertion_of_aiokafka_can_be_recovered() -> None:
    error = first_failure(None, AssertionError("Unrecognized partition"))
    assert isinstance(error, KafkaError)
    assert in_words(error, Kafka()) == "the Kafka client has failed: Unrecognized partition"


def test_unawaited_failure_is_not_printed() -> None:
    printed: list[dict[str, object]] = []

    async def fail() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: printed.append(context))
        future: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(_retrieve)
        future.set_exception(CONSEQUENCE)
        await asyncio.sleep(0)

    asyncio.run(fail())
    assert printed == []
    with pytest.raises(asyncio.InvalidStateError):
        asyncio.run(_pending())


async def _pending() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    _retrieve(future)  # nothing to retrieve, and nothing raised
    future.exception()


# A transaction


class Producer:
    """A started producer: takes batches, and answers for each with what `answers` has next."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.answers: list[int | BaseException] = []
        self._txn_manager = self
        self._ended: asyncio.Future[None]

    async def begin_transaction(self) -> None:
        self._ended = asyncio.get_running_loop().create_future()
        self.steps.append("begin")

    def wait_for_transaction_end(self) -> asyncio.Future[None]:
        return self._ended

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[RecordMetadata]:
        acknowledged: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            acknowledged.set_exception(answer)
        else:
            metadata = RecordMetadata(topic, partition, TopicPartition(topic, partition), answer, -1, 0, 0)
            acknowledged.set_result(metadata)
        self.steps.append(f"send {batch.record_count()}")
        return acknowledged

    async def commit_transaction(self) -> None:
        self.steps.append("commit")


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    producer = Producer()
    monkeypatch.setattr(kafka, "relay_producer", lambda _: producer)
    return producer


def publish(partitions: int = 1) -> dict[tuple[str, int], int]:
    """Publish events of three customers, two of whom have the same partition where there are two."""

    async def run() -> dict[tuple[str, int], int]:
        publisher = Publisher(Kafka(), {CHURNED: partitions}, Envelope("/customers"))
        return await publisher.publish([event(who, who) for who in (ADA, BOB, EVE)])

    return asyncio.run(run())


def test_partition_is_one_batch_in_one_transaction(producer: Producer) -> None:
    producer.answers = [10, 20]
    assert publish(2) == {(CHURNED, 1): 11, (CHURNED, 0): 22}
    assert producer.steps[0] == "begin"
    assert producer.steps[-1] == "commit"
    assert sorted(producer.steps[1:-1]) == ["send 1", "send 2"]


def test_batch_acknowledged_without_an_offset_has_no_end(producer: Producer) -> None:
    producer.answers = [-1]
    assert publish() == {}


def test_transaction_with_a_refused_batch_is_not_committed(producer: Producer) -> None:
    producer.answers = [TopicAuthorizationFailedError({CHURNED})]
    with pytest.raises(TopicAuthorizationFailedError):
        publish()
    assert "commit" not in producer.steps


def test_transaction_not_completed_in_time_is_a_timeout(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PUBLISH_SECONDS", 0.01)
    producer.answers = [0]

    async def never() -> None:
        await asyncio.Event().wait()

    producer.commit_transaction = never  # type: ignore[method-assign]
    with pytest.raises(TimeoutError, match=r"min\.insync\.replicas"):
        publish()
