"""Polls follow each other without a pause, and begin once the positions are set."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import NoOffsetForPartitionError
from faststream.kafka import KafkaBroker

from tests.support.builders import SIGNUPS
from worker.consumer.assignment import Assignment
from worker.consumer.poll_monitor import POSITIONS_SECONDS, Polling

FIRST, SECOND = TopicPartition(SIGNUPS, 0), TopicPartition(SIGNUPS, 1)
PAUSE_MS, LIMIT_S = 60_000, 10.0
"""FastStream's pause after an empty poll, and the time for a test that must not contain one."""
Polled = dict[TopicPartition, list[str]] | Exception


class KafkaConsumer:
    """The part of aiokafka's consumer that is polled."""

    def __init__(self, polls: Sequence[Polled]) -> None:
        self._polls = iter(polls)

    async def getmany(self, **options: int) -> dict[TopicPartition, list[str]]:
        assert options == {"timeout_ms": PAUSE_MS, "max_records": 7}
        found = next(self._polls)
        if isinstance(found, Exception):
            raise found
        return found


def polled(*polls: Polled, is_set: bool = True) -> tuple[asyncio.Event, Any]:
    """Return the event of set positions, and a callable that polls once as FastStream's loop does."""
    assignment = SimpleNamespace(is_set=asyncio.Event())
    if is_set:
        assignment.is_set.set()
    subscriber = KafkaBroker().subscriber(SIGNUPS, batch=True, batch_timeout_ms=PAUSE_MS, max_records=7)
    Polling(cast("Assignment", assignment), list[Exception]().append).watch(subscriber)
    consumer = KafkaConsumer(polls)
    return assignment.is_set, lambda: subscriber.get_msg(consumer)


def test_empty_poll_is_followed_by_the_next_at_once() -> None:
    async def run() -> None:
        _, poll = polled({}, {FIRST: ["a", "b"], SECOND: ["c"]})
        async with asyncio.timeout(LIMIT_S):
            assert await poll() == ()
            assert await poll() == ("a", "b", "c")

    asyncio.run(run())


def test_poll_begins_once_positions_are_set() -> None:
    async def run() -> None:
        is_set, poll = polled({FIRST: ["a"]}, is_set=False)
        waiting = asyncio.create_task(poll())
        done, _ = await asyncio.wait({waiting}, timeout=POSITIONS_SECONDS / 4)
        assert not done
        is_set.set()
        assert await waiting == ("a",)

    asyncio.run(run())


def test_wait_for_positions_is_limited() -> None:
    """Without polls, Kafka would remove the worker from its group."""

    async def run() -> None:
        _, poll = polled({FIRST: ["a"]}, is_set=False)
        async with asyncio.timeout(LIMIT_S):
            assert await poll() == ("a",)

    asyncio.run(run())


def test_partition_without_an_offset_is_no_error() -> None:
    async def run() -> None:
        _, poll = polled(NoOffsetForPartitionError(FIRST), {FIRST: ["a"]})
        assert await poll() is None
        assert await poll() == ("a",)

    asyncio.run(run())
