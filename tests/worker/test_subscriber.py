"""Polls of FastStream: applied or dropped, the errors that stop the worker, and the reported positions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, IllegalStateError, UnsupportedCodecError

from tests.support.builders import SIGNUPS, decoded, signup
from tests.worker.test_health import Parts, parts
from worker.consumer.poll_monitor import Polling
from worker.errors import Exit

FIRST = TopicPartition(SIGNUPS, 0)


class KafkaConsumer:
    """The part of aiokafka's consumer that knows positions."""

    def __init__(self, position: int) -> None:
        self._position = position
        self.is_revoked = False

    async def position(self, partition: TopicPartition) -> int:
        if self.is_revoked:
            raise IllegalStateError(partition)
        return self._position


def within(body: Callable[[Parts], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), parts() as those:
            await body(those)

    asyncio.run(run())


def test_poll_from_before_the_positions_were_set_is_dropped() -> None:
    async def body(those: Parts) -> None:
        submitted: list[Sequence[Any]] = []

        async def submit(messages: Sequence[Any]) -> None:
            submitted.append(messages)

        those.consumer._prefetcher.submit = submit  # type: ignore[method-assign]
        those.consumer.assignment.is_set.clear()
        await those.consumer._consume(decoded(signup(0)))
        assert not submitted
        those.consumer.assignment.is_set.set()
        await those.consumer._consume(decoded(signup(1)))
        assert submitted == [decoded(signup(1))]

    within(body)


def test_error_of_a_poll_stops_the_worker() -> None:
    async def body(those: Parts) -> None:
        async def fail(messages: Sequence[Any]) -> None:
            raise LookupError(f"a fault after {len(messages)} messages")

        those.consumer._prefetcher.submit = fail  # type: ignore[method-assign]
        await those.consumer._consume(decoded(signup()))
        assert those.stop.code == Exit.SAFETY

    within(body)


def test_stopping_worker_polls_no_more() -> None:
    async def body(those: Parts) -> None:
        those.stop.fail_stop("a reason")
        consuming = asyncio.create_task(those.consumer._consume(decoded(signup())))
        done, _ = await asyncio.wait({consuming}, timeout=0.05)
        assert not done
        consuming.cancel()

    within(body)


@pytest.mark.parametrize(
    ("position", "is_revoked", "expected"),
    [
        (12, False, 12),  # a transaction's marker stands at 10 and 11
        (9, False, 10),
        (12, True, 10),
    ],
)
def test_position_passes_markers_behind_the_last_record(position: int, is_revoked: bool, expected: int) -> None:
    async def body(those: Parts) -> None:
        kafka = KafkaConsumer(position)
        kafka.is_revoked = is_revoked
        those.consumer.assignment.subscriber = SimpleNamespace(consumer=kafka)
        those.consumer._offsets.start(FIRST, 10, 10)
        assert await those.consumer.positions() == {FIRST: expected}

    within(body)


def test_position_stays_before_records_that_wait() -> None:
    async def body(those: Parts) -> None:
        those.consumer.assignment.subscriber = SimpleNamespace(consumer=KafkaConsumer(12))
        those.consumer._offsets.start(FIRST, 10, 10)
        those.consumer._prefetcher._gathered = decoded(signup(10), signup(11))
        assert await those.consumer.positions() == {FIRST: 10}

    within(body)


def test_position_stays_before_records_of_a_stopping_worker() -> None:
    async def body(those: Parts) -> None:
        async def getmany(**_: int) -> dict[TopicPartition, Sequence[Any]]:
            return {FIRST: decoded(signup(10), signup(11))}

        kafka = KafkaConsumer(12)
        subscriber = SimpleNamespace(consumer=kafka, batch_timeout_ms=1, max_records=10)
        those.consumer.assignment.subscriber = subscriber
        those.consumer.polling.watch(subscriber)
        those.consumer._offsets.start(FIRST, 10, 10)
        those.stop.ask()
        records = await subscriber.get_msg(SimpleNamespace(getmany=getmany))
        consuming = asyncio.create_task(those.consumer._consume(records))
        await asyncio.wait({consuming}, timeout=0.05)
        assert await those.consumer.positions() == {FIRST: 10}
        consuming.cancel()

    within(body)


def test_unset_positions_are_not_reported() -> None:
    async def body(those: Parts) -> None:
        those.consumer._offsets.start(FIRST, 10, 10)
        those.consumer.assignment.is_set.clear()
        assert await those.consumer.positions() == {}

    within(body)


def polling(those: Parts, error: Exception, compared: list[str]) -> Callable[[], Coroutine[Any, Any, Any]]:
    """Return a poll of the worker whose unpacking raises the error."""

    async def fail(**_: int) -> None:
        raise error

    async def compare_again(reason: str) -> None:
        compared.append(reason)

    subscriber = SimpleNamespace(batch_timeout_ms=1, max_records=1)
    those.consumer.assignment.compare_again = compare_again  # type: ignore[method-assign]
    Polling(those.consumer.assignment, those.consumer._fail).watch(subscriber)
    return lambda: subscriber.get_msg(SimpleNamespace(getmany=fail))


@pytest.mark.parametrize(
    "error", [CorruptRecordException("CRC"), UnsupportedCodecError("zstd")], ids=["damaged", "codec"]
)
def test_unreadable_batch_resets_the_positions(error: Exception) -> None:
    async def body(those: Parts) -> None:
        compared: list[str] = []
        with pytest.raises(type(error)):
            await polling(those, error, compared)()
        assert len(compared) == 1, "records of other partitions, taken by the same poll, would be skipped"
        assert not those.stop.is_asked

    within(body)


def test_error_in_decoding_stops_the_worker() -> None:
    async def body(those: Parts) -> None:
        poll = asyncio.create_task(polling(those, LookupError("a fault"), [])())
        done, _ = await asyncio.wait({poll}, timeout=0.05)
        assert not done, "the loop would read on"
        assert those.stop.code == Exit.SAFETY
        poll.cancel()

    within(body)
