"""The last known result: kept while the store fails or does not answer, and not read too often."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from worker.monitoring.latest import Latest
from worker.stores.errors import StoreError


def results(*found: int | Exception) -> Callable[[], int]:
    left: Iterator[int | Exception] = iter(found)

    def read() -> int:
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return result

    return read


def test_result_is_kept_while_the_store_fails() -> None:
    async def body() -> None:
        latest = Latest(results(1, StoreError("the disk is full"), 2))
        await latest.refresh(5)
        assert (latest.value, latest.failure) == (1, None)
        read_at = latest.at
        await latest.refresh(5)
        assert (latest.value, latest.failure, latest.at) == (1, "the disk is full", read_at)
        await latest.refresh(5)
        assert (latest.value, latest.failure) == (2, None)

    asyncio.run(body())


def test_result_is_kept_while_the_store_does_not_answer() -> None:
    async def body() -> None:
        free = threading.Event()
        calls = []

        def read() -> int:
            calls.append(1)
            if len(calls) > 1:
                free.wait(10)
            return len(calls)

        latest = Latest(read)
        await latest.refresh(5)
        for _ in range(3):
            await latest.refresh(0.001)
            assert latest.value == 1
            assert latest.failure is not None
            assert latest.failure.startswith("the store has not answered for ")
        free.set()
        await latest.refresh(10)
        assert (latest.value, latest.failure, len(calls)) == (2, None, 2)

    asyncio.run(body())


def test_expensive_result_is_read_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("worker.monitoring.latest.time.monotonic", lambda: clock[0])

    def read() -> float:
        clock[0] += 0.5
        return clock[0]

    async def body() -> None:
        latest = Latest(read, share=0.01)
        await latest.refresh(5)
        assert latest.value == 100.5
        clock[0] += 49.0
        await latest.refresh(5)
        assert latest.value == 100.5
        clock[0] += 1.0
        await latest.refresh(5)
        assert latest.value == 151.0

    asyncio.run(body())
