"""Each health check fails for its own cause and for no other."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.builders import batch_path
from worker.consumer.poll_monitor import Polling
from worker.consumer.subscriber import Consumer
from worker.errors import Stop
from worker.metrics.counters import Metrics
from worker.monitoring import health, store_watch
from worker.monitoring.health import Health
from worker.monitoring.store_watch import StoreWatch
from worker.outbox.relay import Relay
from worker.settings import Settings
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.thread import StoreThread

LIVE = ["consumer", "aiokafka", "poll", "batch"]
READY = [*LIVE, "partitions", "kafka", "inputs", "group", "store", "receipt", "outbox"]


class Polls(Polling):
    """Polls without Kafka, which no fast test has."""

    turned_seconds = 0.2
    answered_seconds = 0.5
    ended_task = None


class Parts:
    """The parts of a worker without Kafka, all of them well."""

    def __init__(self, store: DuckDBStore, thread: StoreThread) -> None:
        settings, stop = Settings(), Stop()
        self.stop = stop
        metrics = Metrics(settings.topics)
        self.relay = Relay(settings, store, thread, stop, metrics)
        self.relay.recovered.set()
        self.consumer = Consumer(settings, store, thread, batch_path(), self.relay, stop, metrics)
        self.consumer.polling = self.polls = Polls(self.consumer.assignment, self.consumer._fail)
        self.consumer.is_running = lambda: True  # type: ignore[method-assign]
        self.consumer.assignment.is_set.set()
        self.consumer.joining.accepted()
        self.watch = StoreWatch(store, thread)
        self.health = Health(self.consumer, self.relay, self.watch)

    def unwell(self) -> list[str]:
        return [check.name for check in self.health.ready() if not check.is_well]


@asynccontextmanager
async def parts() -> AsyncIterator[Parts]:
    thread = StoreThread()
    store = await thread.call(DuckDBStore, MEMORY)
    yield Parts(store, thread)
    await thread.call(store.close)
    thread.close()


def looked(change: Callable[[Parts], Any]) -> list[str]:
    """Return the checks that fail after a change."""

    async def look() -> list[str]:
        async with parts() as those:
            change(those)
            return those.unwell()

    return asyncio.run(look())


def ago(seconds: float) -> float:
    return time.monotonic() - seconds


def set_on(what: str, name: str, value: object) -> Callable[[Parts], None]:
    return lambda those: setattr(getattr(those, what), name, value)


def test_idle_worker_is_healthy() -> None:
    assert looked(lambda _: None) == []


def test_livez_has_fewer_checks_than_readyz() -> None:
    async def look() -> None:
        async with parts() as those:
            assert [check.name for check in those.health.live()] == LIVE
            assert [check.name for check in those.health.ready()] == READY

    asyncio.run(look())


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (set_on("consumer", "is_running", lambda: False), "consumer"),
        (set_on("polls", "ended_task", "fetching"), "aiokafka"),
        (set_on("polls", "turned_seconds", health.LOOP_BOUND_SECONDS + 1), "poll"),
        (lambda those: setattr(those.consumer.applier, "batch_began", ago(health.BATCH_BOUND_SECONDS + 1)), "batch"),
        (lambda those: those.consumer.assignment.is_set.clear(), "partitions"),
        (set_on("polls", "answered_seconds", health.KAFKA_BOUND_SECONDS + 1), "kafka"),
        (lambda those: those.consumer.inputs.topic_problems.update(signups="it was deleted"), "inputs"),
        (lambda those: setattr(those.consumer.inputs, "group_problem", "no rights"), "group"),
        (lambda those: setattr(those.consumer.applier, "failure", "the disk is full"), "store"),
        (set_on("watch", "failure", "the disk is full"), "store"),
        (lambda those: those.relay.recovered.clear(), "receipt"),
        (lambda those: setattr(those.relay._failures, "shown", "WRITE is missing"), "outbox"),
        (lambda those: setattr(those.relay, "_behind_since", ago(health.OUTBOX_BOUND_SECONDS + 1)), "outbox"),
    ],
)
def test_each_check_fails_for_its_own_cause_alone(change: Callable[[Parts], Any], check: str) -> None:
    assert looked(change) == [check]


@pytest.mark.parametrize("ended", [1.0, 1_000.0])
def test_loop_that_waits_for_a_batch_does_not_hang(ended: float) -> None:
    def long_batch(those: Parts) -> None:
        those.consumer.applier.batch_began = ago(health.LOOP_BOUND_SECONDS + 10)
        those.consumer.applier.batch_ended = ago(ended)
        those.polls.turned_seconds = those.polls.answered_seconds = health.LOOP_BOUND_SECONDS + 10

    assert looked(long_batch) == []


def test_loop_may_be_slow_after_a_long_batch() -> None:
    def batch_over(those: Parts) -> None:
        those.consumer.applier.batch_ended = ago(1)
        those.polls.turned_seconds = those.polls.answered_seconds = health.LOOP_BOUND_SECONDS + 10

    assert looked(batch_over) == []


def test_worker_without_partitions_need_not_poll() -> None:
    def waiting(those: Parts) -> None:
        those.consumer.assignment.is_set.clear()
        those.polls.turned_seconds = those.polls.answered_seconds = 3_600

    assert looked(waiting) == ["partitions"]


# The store, while nothing is written to it


@contextmanager
def no_more_bytes(path: Path) -> Iterator[None]:
    """Files of this process cannot grow past the store's log as it is, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}.wal").stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def failure(watch: StoreWatch) -> str | None:
    return watch.failure


def test_idle_store_is_probed_for_write_failures_and_recovery(tmp_path: Path) -> None:
    path = tmp_path / "customers.duckdb"

    async def look() -> None:
        thread = StoreThread()
        store = await thread.call(DuckDBStore, str(path))
        watch = StoreWatch(store, thread)
        await watch.look()
        assert failure(watch) is None
        with no_more_bytes(path):
            await watch.look()
            assert "File too large" in str(failure(watch))
            await watch.look()
            assert failure(watch) is not None
        await watch.look()
        assert failure(watch) is None
        await thread.call(store.close)
        thread.close()

    asyncio.run(look())


def test_permanently_failed_store_is_reopened(tmp_path: Path) -> None:
    path = tmp_path / "customers.duckdb"

    async def look() -> None:
        thread = StoreThread()
        store = await thread.call(DuckDBStore, str(path))
        watch = StoreWatch(store, thread)
        with no_more_bytes(path), pytest.raises(duckdb.FatalException):
            await thread.call(store._db.execute, "CHECKPOINT")
        await watch.look()
        assert failure(watch) is not None
        await watch.look()
        assert failure(watch) is None
        await thread.call(store.close)
        thread.close()

    asyncio.run(look())


def test_busy_store_is_not_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_watch, "EVERY_SECONDS", 0.001)

    async def look() -> None:
        thread = StoreThread()
        store = await thread.call(DuckDBStore, MEMORY)
        watch = StoreWatch(store, thread)
        watch.failure = "before"
        busy = True
        asked = asyncio.Event()

        def is_busy() -> bool:
            asked.set()
            return busy

        running = asyncio.create_task(watch.run(is_busy))
        for _ in range(3):
            asked.clear()
            await asked.wait()
        assert failure(watch) == "before"
        busy = False
        while failure(watch) is not None:
            asked.clear()
            await asked.wait()
        running.cancel()
        await thread.call(store.close)
        thread.close()

    asyncio.run(asyncio.wait_for(look(), 10))
