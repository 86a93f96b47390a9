"""The relay publishes each row of the outbox once and in order, despite failures."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import InvalidProducerIdMapping, KafkaError, ProducerFenced
from structlog.testing import capture_logs

from tests.support.builders import CHURNED
from tests.worker.output_topics import PublisherInMemory, TopicsInMemory, event
from worker.errors import Exit, PositionRefused, Stop
from worker.messages.outgoing import Outgoing
from worker.messages.record import TopicPartition
from worker.metrics.counters import Cause, Metrics
from worker.outbox import leadership, publish_errors, relay
from worker.outbox.marks import Marks
from worker.outbox.relay import Relay
from worker.settings import Settings
from worker.stores.changes import Changes, Committed
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import StoreDamagedError, StoreError
from worker.stores.thread import StoreThread

LIMIT_SECONDS = 10.0


class WatchedStore(DuckDBStore):
    """A store that lists how it was marked; `mark_errors` are raised by the next marks."""

    def __init__(self) -> None:
        super().__init__(MEMORY)
        self.marks: list[int] = []
        self.mark_errors: list[Exception] = []

    def mark_published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        if self.mark_errors:
            raise self.mark_errors.pop(0)
        super().mark_published(last_seq, ends)
        self.marks.append(last_seq)


class SharedStore(WatchedStore):
    """A store that several workers share; `leads` says whether this one publishes."""

    leads = True

    @property
    def exclusive_id(self) -> None:  # type: ignore[override]
        return None

    def lead(self) -> bool:
        return self.leads

    def reopen(self) -> None:
        pass


class Those:
    """A relay, its store and its topics."""

    def __init__(self, store: WatchedStore, thread: StoreThread) -> None:
        settings = Settings()
        self.store = store
        self.thread = thread
        self.topics = TopicsInMemory(settings)
        self.stop = Stop()
        self.metrics = Metrics(settings.topics)
        self.relay = Relay(settings, store, thread, self.stop, self.metrics, self.topics)

    def commit(self, *ids: str) -> Committed:
        return self.store.commit(Changes(outbox=[event(each) for each in ids]))

    async def offer(self, *ids: str) -> None:
        self.relay.offer(await self.thread.call(self.commit, *ids))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def caught_up(self) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            await self.relay.caught_up()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the relay meanwhile."""
        running = asyncio.create_task(self.relay.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})
            await self.relay.close()
            if not running.cancelled():
                running.result()

    def recoveries(self) -> list[str]:
        return [cause for cause, count in self.metrics.recovered.items() for _ in range(count)]


def within(body: Callable[[Those], Coroutine[Any, Any, None]], kind: type[WatchedStore] = WatchedStore) -> None:
    async def run() -> None:
        thread = StoreThread()
        store = kind()
        await body(Those(store, thread))
        store.close()
        thread.close()

    asyncio.run(run())


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_errors, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(leadership, "ASK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(relay, "LOOK_EVERY_SECONDS", 0.01)


def test_rows_are_published_in_order_and_marked() -> None:
    async def body(those: Those) -> None:
        those.commit("before", "the start")
        async with those.running():
            await those.until(lambda: len(those.topics.ids) == 2)
            await those.offer("a")
            await those.offer("b")
            await those.caught_up()
        assert those.topics.ids == ["before", "the start", "a", "b"]
        assert those.store.published_seq == 4
        assert those.store._db.execute("SELECT published_seq FROM progress").fetchall() == [(4,)], "written, not noted"
        assert those.store.output_ends() == {(CHURNED, 0): 4}
        assert those.relay.behind_seconds == 0.0

    within(body)


def test_relay_is_behind_until_offered_rows_are_published() -> None:
    async def body(those: Those) -> None:
        async with those.running():
            await those.caught_up()
            those.topics.failures = [KafkaError()] * 1_000
            await those.offer("a")
            assert not those.relay._caught_up.is_set()
            await asyncio.sleep(0)
            assert those.relay.behind_seconds > 0.0

    within(body)


def test_marks_are_fewer_than_transactions() -> None:
    async def body(those: Those) -> None:
        async with those.running():
            await those.caught_up()
            for number in range(10):
                await those.offer(str(number))
                await those.until(lambda expected=number + 1: len(those.topics.transactions) == expected)  # type: ignore[misc]
            await those.caught_up()
        assert those.store.marks[-1] == 10
        assert len(those.store.marks) < 10

    within(body)


def test_failed_transaction_is_repeated() -> None:
    async def body(those: Those) -> None:
        those.topics.failures = [KafkaError(), ProducerFenced()]
        those.commit("a", "b")
        async with those.running():
            await those.caught_up()
        assert those.topics.ids == ["a", "b"]
        assert those.recoveries() == [Cause.START, Cause.FENCED, Cause.KAFKA]

    within(body)


def test_transaction_of_unknown_outcome_is_not_repeated() -> None:
    async def body(those: Those) -> None:
        those.topics.late_failures = [TimeoutError()]
        those.commit("a", "b")
        async with those.running():
            await those.caught_up()
        assert those.topics.ids == ["a", "b"]
        assert those.recoveries() == [Cause.START, Cause.TIMEOUT]

    within(body)


def test_rebuilt_store_publishes_only_what_is_not_on_the_topic() -> None:
    async def body(those: Those) -> None:
        those.topics.write(event("a"))
        those.commit("a", "b")
        async with those.running():
            await those.caught_up()
        assert those.topics.ids == ["a", "b"]

    within(body)


def test_rows_of_a_doubtful_commit_are_read_from_the_store() -> None:
    async def body(those: Those) -> None:
        async with those.running():
            await those.caught_up()
            await those.thread.call(those.commit, "doubtful")
            those.relay.look_again()
            await those.caught_up()
        assert those.topics.ids == ["doubtful"]

    within(body)


def test_failure_is_shown_until_publishing_succeeds() -> None:
    async def body(those: Those) -> None:
        those.commit("a")
        those.topics.failures = [KafkaError("refused")] * 2
        shown: list[str | None] = []
        those.topics.before_publishing = lambda: shown.append(those.relay.failure)
        async with those.running():
            await those.caught_up()
            assert those.relay.failure is None
            assert not those.metrics.is_publishing_failing
        assert shown[0] is None
        assert all(shown[1:])
        assert len(shown) == 3

    within(body)


def test_expired_id_is_renewed_without_being_shown() -> None:
    async def body(those: Those) -> None:
        those.commit("a")
        those.topics.failures = [InvalidProducerIdMapping()]
        shown: list[str | None] = []
        those.topics.before_publishing = lambda: shown.append(those.relay.failure)
        async with those.running():
            await those.caught_up()
        assert shown == [None, None]
        assert those.topics.ids == ["a"]

    within(body)


def test_failed_mark_is_repeated_and_its_rows_are_not() -> None:
    async def body(those: Those) -> None:
        those.store.mark_errors = [StoreError("the disk is full")]
        those.commit("a")
        async with those.running():
            await those.caught_up()
        assert those.topics.ids == ["a"]
        assert those.store.marks == [1]
        assert those.recoveries() == [Cause.START, Cause.STORE]

    within(body)


@pytest.mark.parametrize("error", [PositionRefused("receipts are lost"), StoreDamagedError("a block is unreadable")])
@pytest.mark.parametrize("kind", [WatchedStore, SharedStore])
def test_lost_receipts_and_a_damaged_store_stop_the_worker(error: Exception, kind: type[WatchedStore]) -> None:
    async def body(those: Those) -> None:
        those.commit("a")
        those.topics.unmet = [error]
        with capture_logs() as logs:
            async with asyncio.timeout(LIMIT_SECONDS):
                await those.relay.run()
        assert those.stop.code is Exit.SAFETY
        assert those.topics.ids == []
        assert "relay leadership lost" not in [line["event"] for line in logs]

    within(body, kind)


@pytest.mark.parametrize("kind", [WatchedStore, SharedStore])
def test_unforeseen_error_ends_the_relay(kind: type[WatchedStore]) -> None:
    async def body(those: Those) -> None:
        those.topics.unmet = [ZeroDivisionError()]
        async with asyncio.timeout(LIMIT_SECONDS):
            with pytest.raises(ZeroDivisionError):
                await those.relay.run()
        assert not those.relay.is_running

    within(body, kind)


def test_standby_publishes_once_it_leads() -> None:
    async def body(those: Those) -> None:
        assert isinstance(those.store, SharedStore)
        those.store.leads = False
        await those.offer("a")
        async with those.running():
            await asyncio.sleep(0.05)
            assert those.relay.is_standby
            assert (those.topics.steps, those.relay.behind_seconds) == ([], 0.0)
            those.store.leads = True
            await those.until(lambda: those.topics.ids == ["a"])
            assert not those.relay.is_standby

    within(body, SharedStore)


def test_leader_publishes_what_other_workers_commit() -> None:
    async def body(those: Those) -> None:
        async with those.running():
            await those.until(those.relay.recovered.is_set)
            await those.thread.call(those.commit, "of another worker")
            await those.until(lambda: those.store.marks == [1])
        assert those.topics.ids == ["of another worker"]

    within(body, SharedStore)


def test_deposed_leader_stops_its_producer_at_once() -> None:
    async def body(those: Those) -> None:
        assert isinstance(those.store, SharedStore)
        with capture_logs() as logs:
            await lose(those, those.store)
        [lost] = [line for line in logs if line["event"] == "relay leadership lost"]
        assert lost["reason"] == "another worker leads"

    async def lose(those: Those, store: SharedStore) -> None:
        async with those.running():
            await those.until(those.relay.recovered.is_set)
            those.topics.failures = [KafkaError()] * 1_000
            await those.offer("a")
            await those.until(lambda: those.relay.failure is not None)
            store.leads = False
            await those.until(lambda: those.relay.is_standby and not those.relay.recovered.is_set())
            await those.until(lambda: those.topics.steps[-1] == "stop")
            assert (those.relay.failure, those.relay.behind_seconds) == (None, 0.0)

    within(body, SharedStore)


class HangingPublisher(PublisherInMemory):
    """Publishes one transaction; the next one gets no answer."""

    async def publish(self, messages: Sequence[Outgoing]) -> dict[TopicPartition, int]:
        if self._topics.ids:
            await asyncio.Event().wait()
        return await super().publish(messages)


def test_leader_whose_mark_fails_as_it_is_deposed_stands_by() -> None:
    async def body(those: Those) -> None:
        store = those.store
        assert isinstance(store, SharedStore)
        may_end = threading.Event()

        def refuse(*_: object) -> None:
            may_end.wait(LIMIT_SECONDS)
            raise StoreError("another worker is the leader now")

        those.topics.publisher = lambda _: HangingPublisher(those.topics)  # type: ignore[assignment,method-assign]
        async with those.running():
            await those.until(those.relay.recovered.is_set)
            store.mark_published = refuse  # type: ignore[assignment,method-assign]
            batches = [await those.thread.call(those.commit, each) for each in "ab"]
            for batch in batches:
                those.relay.offer(batch)
            await those.until(lambda: those.topics.ids == ["a"])
            with capture_logs() as logs:
                store.leads = False
                await those.until(lambda: those.relay.is_standby)
                await asyncio.sleep(0.05)  # the relay is cancelled meanwhile, and waits for its mark
                may_end.set()
                await those.until(lambda: "relay leadership lost" in [line["event"] for line in logs])
        assert those.topics.steps.count("start") == 1, "the standby has fenced the leader"

    within(body, SharedStore)


def test_mark_waits_for_the_one_before_and_raises_its_failure() -> None:
    async def body(those: Those) -> None:
        marks = Marks(those.store, those.thread, 0, every_seconds=60.0)
        marks.published(3, {(CHURNED, 0): 7})
        states = [marks.is_complete, await marks.write(at_once=True), marks.is_complete]
        assert states == [False, False, True]
        assert marks.due_in_seconds > 0
        marks.published(4, {})
        assert await marks.write(at_once=True) is True
        assert await marks.finish() is True
        assert those.store.marks == [3, 4]
        assert those.store.output_ends() == {(CHURNED, 0): 7}
        those.store.mark_errors = [StoreError("the disk is full")]
        await marks.write(at_once=True)
        with pytest.raises(StoreError):
            await marks.write(at_once=True)

    within(body)
