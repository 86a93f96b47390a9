"""Polls are applied one at a time and in order; later ones are prefetched, or gathered into one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, cast

from worker.consumer import prefetch
from worker.consumer.prefetch import Prefetcher
from worker.messages.message import Message

LARGE = prefetch.SMALL_POLL


@dataclass
class Assignment:
    """All that a prefetcher reads of an assignment."""

    number: int = 0


class World:
    """A prefetcher whose `apply` waits until it is let go; `applied` has what each call was given."""

    def __init__(self, max_records: int = 10 * LARGE) -> None:
        self.assignment = Assignment()
        self.applied: list[tuple[list[int], int]] = []
        self.failures: list[Exception] = []
        self.go = asyncio.Semaphore(0)
        self.began = asyncio.Semaphore(0)
        self.prefetcher = Prefetcher(
            self.assignment,  # type: ignore[arg-type]
            max_records,
            self._apply,
            self.failures.append,
        )

    async def submit(self, numbers: Sequence[int]) -> None:
        """Submit a poll; a prefetcher does not read its messages."""
        await self.prefetcher.submit(cast("Sequence[Message]", numbers))

    async def _apply(self, messages: Sequence[Any], assignment: int) -> None:
        self.began.release()
        await self.go.acquire()
        if -1 in messages:
            raise LookupError("a fault")
        self.applied.append((list(messages)[:3], assignment))


def within(body: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30):
            await body(World())

    asyncio.run(run())


def large(first: int) -> list[int]:
    return [first] * LARGE


def test_first_poll_is_applied_at_once() -> None:
    async def body(it: World) -> None:
        await it.submit([1, 2])
        assert not it.prefetcher.is_idle
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([1, 2], 0)]
        assert it.prefetcher.is_idle

    within(body)


def test_large_poll_waits_for_the_one_before() -> None:
    async def body(it: World) -> None:
        await it.submit([1])
        await it.began.acquire()
        second = asyncio.create_task(it.submit(large(2)))
        done, _ = await asyncio.wait({second}, timeout=4 * prefetch.GATHER_SECONDS)
        assert not done, "a third poll would be taken into memory"
        assert it.applied == []
        it.go.release()
        await second
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([1], 0), ([2, 2, 2], 0)]

    within(body)


def test_small_polls_are_gathered_into_one_batch() -> None:
    async def body(it: World) -> None:
        await it.submit([1])
        await it.began.acquire()
        await it.submit([2])
        await it.submit([3])
        assert it.prefetcher.waiting == 2
        it.go.release()
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([1], 0), ([2, 3], 0)]

    within(body)


def test_records_gathered_before_a_rebalance_are_dropped() -> None:
    async def body(it: World) -> None:
        await it.submit([1])
        await it.began.acquire()
        await it.submit([2])
        it.assignment.number = 1
        await it.submit([3])
        it.go.release()
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([1], 0), ([3], 1)]

    within(body)


def test_failed_poll_is_reported_and_the_next_is_applied() -> None:
    async def body(it: World) -> None:
        await it.submit([-1])
        it.go.release()
        await it.prefetcher.drain()
        assert [str(error) for error in it.failures] == ["a fault"]
        await it.submit([2])
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([2], 0)]

    within(body)
