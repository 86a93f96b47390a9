"""A failed transaction raises what failed first, however aiokafka wraps it, and leaves nothing for asyncio to print."""

import asyncio

import pytest
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaError,
    ProducerFenced,
    TopicAuthorizationFailedError,
)

from worker.outbox.publish_errors import in_words
from worker.outbox.publisher import _first_failure, _retrieve
from worker.settings import Kafka

CONSEQUENCE = InvalidTxnState()


def first_failure(of_transaction: BaseException | None, error: BaseException) -> BaseException:
    """The failure raised by a transaction that ended so, when a send has failed with `error`."""

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
    assert in_words(error, Kafka()) == "the Kafka client cannot go on: Unrecognized partition"


def test_failure_that_nobody_waits_for_is_not_printed() -> None:
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
