"""A poll is applied in parts, repeated after a failure, and dropped if its partitions are lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from tests.support.builders import SIGNUPS, batch_path, decoded, signup
from worker.consumer import applier as module
from worker.consumer.applier import Applier
from worker.consumer.subscriber import Consumer
from worker.errors import Exit, Stop
from worker.messages.record import PlainRecord
from worker.metrics.counters import Metrics
from worker.outbox.relay import Relay
from worker.settings import Settings
from worker.stores.changes import Changes, Committed
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import (
    NewerStoreError,
    NotTheOwnerError,
    StoreBehindError,
    StoreConflictError,
    StoreError,
)
from worker.stores.thread import StoreThread

SIGNUP = TopicPartition(SIGNUPS, 0)
BEHIND = "the store has lost commits"


class FailingStore(DuckDBStore):
    """A store whose next commits, and checks between them, fail with these errors."""

    def __init__(self) -> None:
        super().__init__(MEMORY)
        self.errors: list[Exception] = []
        self.check_errors: list[Exception] = []
        self.when_failing: Callable[[], object] = lambda: None
        self.applied: list[int] = []
        self.reopened = 0

    def commit(self, changes: Changes) -> Committed:
        if self.errors:
            self.when_failing()
            raise self.errors.pop(0)
        self.applied.append(len(changes.signups))
        return super().commit(changes)

    def require_commits(self) -> None:
        if self.check_errors:
            raise self.check_errors.pop(0)

    def reopen(self) -> None:
        self.reopened += 1


class World:
    """An applier with its store, and a consumer around it that has partitions and no Kafka."""

    def __init__(self, store: FailingStore, thread: StoreThread, settings: Settings) -> None:
        self.store = store
        self.stop = Stop()
        self.metrics = Metrics(settings.topics)
        relay = Relay(settings, store, thread, self.stop, self.metrics)
        self.consumer = Consumer(settings, store, thread, batch_path(), relay, self.stop, self.metrics)
        self.consumer.assignment.is_set.set()
        self.applier: Applier = self.consumer.applier
        self.compared_again: list[str] = []

        async def compare_again(reason: str) -> None:
            self.compared_again.append(reason)

        self.consumer.assignment.compare_again = compare_again  # type: ignore[method-assign]

    async def apply(self, records: Sequence[PlainRecord]) -> None:
        await self.applier.apply(decoded(*records), self.consumer.assignment.number)

    @property
    def position(self) -> int:
        return self.store.positions().get((SIGNUPS, 0), 0)


@asynccontextmanager
async def world(**settings: Any) -> AsyncIterator[World]:
    thread = StoreThread()
    store = await thread.call(FailingStore)
    yield World(store, thread, Settings(**settings))
    await thread.call(store.close)
    thread.close()


def within(body: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def run() -> None:
        async with world(**settings) as it:
            await body(it)

    asyncio.run(run())


def signups(count: int) -> list[PlainRecord]:
    return [signup(offset, str(UUID(int=offset))) for offset in range(count)]


@pytest.fixture(autouse=True)
def _short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_PAUSE_SECONDS", 0.01)


def test_poll_is_committed_in_parts_of_max_records() -> None:
    async def body(it: World) -> None:
        await it.apply(signups(5))
        assert it.store.applied == [2, 2, 1]
        assert it.position == 5
        assert it.applier.last_batch is not None
        assert it.applier.last_batch.records == 1
        assert it.applier.batch_began is None

    within(body, batch={"max_records": 2})


def test_poll_is_committed_in_parts_of_max_bytes() -> None:
    async def body(it: World) -> None:
        note = json.dumps("x" * 60_000)
        records = [signup(offset, str(UUID(int=offset)), note=note) for offset in range(40)]
        await it.apply(records)
        assert it.store.applied == [18, 18, 4]  # the 18th brings a batch to 1 MiB or more

    within(body, batch={"max_bytes": 1024 * 1024})


def test_failed_commit_is_repeated_until_it_succeeds() -> None:
    async def body(it: World) -> None:
        it.store.errors = [StoreError("the disk is full"), StoreError("the disk is full")]
        await it.apply(signups(3))
        assert it.position == 3
        assert it.store.reopened == 2
        assert it.metrics.batch_failures == 2
        assert not it.applier.is_failing
        assert not it.stop.is_asked

    within(body)


def test_conflict_is_decided_again_and_is_no_failure() -> None:
    async def body(it: World) -> None:
        it.store.errors = [StoreConflictError("another worker was first")]
        await it.apply(signups(3))
        assert it.position == 3
        assert (it.store.reopened, it.metrics.batch_failures) == (0, 0)

    within(body)


def test_batch_that_keeps_failing_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FOR_SECONDS", 0.1)

    async def body(it: World) -> None:
        it.store.errors = [StoreError("the disk is full")] * 1_000
        await it.apply(signups(3))
        assert it.position == 0
        assert it.stop.code is Exit.SAFETY
        assert it.applier.is_failing

    within(body)


def test_newer_store_stops_the_worker_at_once() -> None:
    async def body(it: World) -> None:
        it.store.errors = [NewerStoreError("version 9")]
        await it.apply(signups(3))
        assert it.stop.code is Exit.SAFETY
        assert (it.store.errors, it.store.reopened) == ([], 0)

    within(body)


def test_batch_of_another_owner_is_left_with_its_rest() -> None:
    async def body(it: World) -> None:
        it.store.errors = [NotTheOwnerError("another worker has the partition")]
        await it.apply(signups(4))
        assert it.position == 0
        assert not it.consumer.assignment.is_set.is_set()
        assert not it.stop.is_asked

    within(body, batch={"max_records": 2})


def require_left_to_the_store(it: World, logs: Sequence[Mapping[str, Any]]) -> None:
    [event] = [line for line in logs if line["event"] == "store lost commits"]
    assert (event["log_level"], event["reason"]) == ("error", BEHIND)
    assert it.metrics.lost_commits == 1, "it was counted more than once"
    assert not it.consumer.assignment.is_set.is_set(), "records beyond the store's positions would be applied"
    assert it.store.reopened == 0
    assert (it.applier.is_failing, it.stop.is_asked) == (False, False)


def test_batch_on_a_store_that_is_behind_is_left() -> None:
    async def body(it: World) -> None:
        it.store.errors = [StoreBehindError(BEHIND)]
        with capture_logs() as logs:
            await it.apply(signups(4))
        assert it.position == 0
        require_left_to_the_store(it, logs)

    within(body, batch={"max_records": 2})


def test_idle_worker_finds_a_store_that_is_behind() -> None:
    async def body(it: World) -> None:
        await it.consumer.assignment.check_commits()
        assert it.consumer.assignment.is_set.is_set()
        it.store.check_errors = [StoreBehindError(BEHIND)] * 2
        async with it.consumer.assignment.batch_lock:
            await it.consumer.assignment.check_commits()
        with capture_logs() as logs:
            await it.consumer.assignment.check_commits()
            await it.consumer.assignment.commits.run()  # as the next claim does
        require_left_to_the_store(it, logs)

    within(body)


def test_idle_worker_reconnects_to_a_failed_store() -> None:
    async def body(it: World) -> None:
        it.store.check_errors = [StoreError("the connection was closed")]
        await it.consumer.assignment.check_commits()
        assert it.store.reopened == 1
        assert it.consumer.assignment.is_set.is_set()

    within(body)


def test_failing_batch_left_to_another_worker_is_well() -> None:
    async def body(it: World) -> None:
        it.store.errors = [StoreError("the connection was closed"), NotTheOwnerError("another worker has it")]
        await it.apply(signups(3))
        assert not it.applier.is_failing

    within(body)


def test_poll_of_an_earlier_assignment_is_left_out() -> None:
    async def body(it: World) -> None:
        number = it.consumer.assignment.number
        it.consumer.assignment.number += 1
        await it.applier.apply(decoded(*signups(3)), number)
        assert it.position == 0

    within(body)


def test_poll_after_a_change_of_leader_is_compared_first() -> None:
    async def body(it: World) -> None:
        it.consumer.assignment.leaders.found.add(SIGNUP)
        await it.apply(signups(3))
        assert it.position == 0
        [why] = it.compared_again
        assert f"{SIGNUPS}/0" in why

    within(body)


def test_stopping_worker_leaves_the_failing_batch() -> None:
    async def body(it: World) -> None:
        it.store.errors = [StoreError("the disk is full")] * 1_000
        loop = asyncio.get_running_loop()
        it.store.when_failing = lambda: loop.call_soon_threadsafe(it.stop.ask)
        async with asyncio.timeout(module.RETRY_FOR_SECONDS / 2):
            await it.apply(signups(3))
        assert it.stop.code is Exit.DONE
        assert it.position == 0

    within(body)
