"""Polls are applied one at a time and in order; later ones are prefetched, or gathered into one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from worker.consumer import prefetch
from worker.consumer.prefetch import Prefetcher

LARGE = prefetch.SMALL_POLL


@dataclass
class Assignment:
    """All that a prefetcher reads of an assignment."""

    number: int = 0


class World:
    """A prefetcher whose `apply` waits until it is let go; `applied` has what each call was given."""

    def __init__(self, max_records: int = 10 * LARGE) -> None:
        self.assignment = Assignment()
        self.applied: list[tuple[list[int], bool, int]] = []
        self.failures: list[Exception] = []
        self.read: list[int] = []
        self.go = asyncio.Semaphore(0)
        self.began = asyncio.Semaphore(0)
        self.prefetcher = Prefetcher(
            self.assignment,  # type: ignore[arg-type]
            max_records,
            self._read,
            self._apply,
            self.failures.append,
        )

    def _read(self, records: Sequence[Any]) -> Any:
        self.read.append(len(records))
        return list(records)

    async def _apply(self, records: Sequence[Any], messages: Any, assignment: int) -> None:
        self.began.release()
        await self.go.acquire()
        if -1 in records:
            raise LookupError("a fault")
        self.applied.append((list(records)[:3], messages is not None, assignment))


def within(body: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30):
            await body(World())

    asyncio.run(run())


def large(first: int) -> list[int]:
    return [first] * LARGE


def test_first_poll_is_applied_without_being_read_ahead() -> None:
    async def body(it: World) -> None:
        await it.prefetcher.submit([1, 2])
        assert not it.prefetcher.is_idle
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([1, 2], False, 0)]
        assert it.prefetcher.is_idle

    within(body)


def test_large_poll_is_read_while_the_one_before_is_applied() -> None:
    async def body(it: World) -> None:
        await it.prefetcher.submit([1])
        await it.began.acquire()
        second = asyncio.create_task(it.prefetcher.submit(large(2)))
        while not it.read:
            await asyncio.wait({second}, timeout=0.01)
        assert it.applied == []
        it.go.release()
        await second
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([1], False, 0), ([2, 2, 2], True, 0)]

    within(body)


def test_small_polls_are_gathered_into_one_batch() -> None:
    async def body(it: World) -> None:
        await it.prefetcher.submit([1])
        await it.began.acquire()
        await it.prefetcher.submit([2])
        await it.prefetcher.submit([3])
        assert it.prefetcher.waiting == 2
        it.go.release()
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([1], False, 0), ([2, 3], False, 0)]

    within(body)


def test_records_gathered_before_a_rebalance_are_dropped() -> None:
    async def body(it: World) -> None:
        await it.prefetcher.submit([1])
        await it.began.acquire()
        await it.prefetcher.submit([2])
        it.assignment.number = 1
        await it.prefetcher.submit([3])
        it.go.release()
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([1], False, 0), ([3], False, 1)]

    within(body)


def test_failed_poll_is_reported_and_the_next_is_applied() -> None:
    async def body(it: World) -> None:
        await it.prefetcher.submit([-1])
        it.go.release()
        await it.prefetcher.drain()
        assert [str(error) for error in it.failures] == ["a fault"]
        await it.prefetcher.submit([2])
        it.go.release()
        await it.prefetcher.drain()
        assert it.applied == [([2], False, 0)]

    within(body)
