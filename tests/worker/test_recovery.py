"""Recovery: receipts on the output topics decide which rows are still pending."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiokafka import TopicPartition

from tests.support.builders import ADA, BOB, CHURNED
from tests.worker.output_topics import TopicsInMemory, event
from worker.errors import PositionRefused
from worker.outbox.publish_errors import CannotPublish, Kind
from worker.outbox.recovery import Recovery
from worker.settings import CutOutputs, Safety, Settings
from worker.stores.changes import Changes
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.thread import StoreThread

FIRST = TopicPartition(CHURNED, 0)
ON_FIRST, ON_SECOND = BOB, ADA  # customers whose events go to these partitions, of two


class Those:
    """A recovery, its store and its topics."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self.thread = StoreThread()
        self.store = DuckDBStore(MEMORY)
        self.topics = TopicsInMemory(settings, partitions)
        self._settings = settings
        self.is_shared = False
        self.begin()

    def begin(self) -> None:
        """Begin with the store as it is, as a new process does."""
        self.recovery = Recovery(self._settings, self.store, self.thread, self.topics, is_shared=self.is_shared)

    def commit(self, *ids: str, customer_id: str = ADA) -> None:
        self.store.commit(Changes(outbox=[event(each, customer_id) for each in ids]))

    async def run(self) -> None:
        await self.recovery.run("start")

    @property
    def pending(self) -> list[str]:
        return [message.id for message in self.store.pending(self.store.published_seq, 100).messages]


def within(
    body: Callable[[Those], Coroutine[Any, Any, None]],
    *,
    cut_outputs: CutOutputs = CutOutputs.REFUSE,
    partitions: int = 1,
) -> None:
    async def run() -> None:
        those = Those(Settings(safety=Safety(cut_outputs=cut_outputs)), partitions)
        await body(those)
        those.store.close()
        those.thread.close()

    asyncio.run(run())


def test_published_rows_are_not_pending_afterwards() -> None:
    async def body(those: Those) -> None:
        those.commit("a", "b", "c")
        those.topics.write(event("a"))
        those.topics.write(event("c"))
        await those.run()
        assert those.pending == ["b"]
        assert those.store.output_ends() == {FIRST: 2}
        assert those.recovery.is_settled.is_set()

    within(body)


def test_receipts_of_rows_to_come_are_kept() -> None:
    async def body(those: Those) -> None:
        those.topics.write(event("a"))
        await those.run()
        those.commit("a", "b")
        assert those.pending == ["b"]

    within(body)


def test_records_before_the_recorded_end_are_not_read() -> None:
    async def body(those: Those) -> None:
        those.commit("a", "b")
        those.topics.write(event("a"))
        those.topics.write(event("b"))
        those.store.mark_published(0, {FIRST: 1})
        await those.run()
        assert those.pending == ["a"]

    within(body)


def test_predecessor_is_fenced_before_its_records_are_read() -> None:
    async def body(those: Those) -> None:
        await those.run()
        await those.run()
        assert those.topics.steps == ["start", "read", "stop", "start", "read"]

    within(body)


def test_unmet_requirement_leaves_kafka_untouched() -> None:
    async def body(those: Those) -> None:
        await those.run()
        those.topics.steps.clear()
        those.topics.unmet = [CannotPublish("a topic is missing", Kind.CONFIGURATION)]
        with pytest.raises(CannotPublish):
            await those.run()
        assert those.topics.steps == ["stop"]
        assert not those.recovery.is_settled.is_set()

    within(body)


def truncate(those: Those) -> None:
    """Remove the records of the first partition beyond what the store knows."""
    those.topics.begins[FIRST] = 5


def recreate(those: Those) -> None:
    """Empty the first partition after the store has recorded its end."""
    those.store.mark_published(0, {FIRST: 5})


CUTS = pytest.mark.parametrize("cut", [truncate, recreate])


@CUTS
def test_lost_receipts_are_refused(cut: Callable[[Those], None]) -> None:
    async def body(those: Those) -> None:
        cut(those)
        with pytest.raises(PositionRefused, match=f"{CHURNED}/0 .*CUT_OUTPUTS=resend"):
            await those.run()
        assert not those.recovery.is_settled.is_set()

    within(body)


@CUTS
def test_rows_without_receipt_are_resent_where_allowed(cut: Callable[[Those], None]) -> None:
    async def body(those: Those) -> None:
        those.commit("a", "b")
        those.begin()
        cut(those)
        await those.run()
        assert those.pending == ["a", "b"]

    within(body, cut_outputs=CutOutputs.RESEND)


@CUTS
def test_rows_on_cut_partitions_count_as_published(cut: Callable[[Those], None]) -> None:
    async def body(those: Those) -> None:
        those.commit("first", customer_id=ON_FIRST)
        those.commit("second", customer_id=ON_SECOND)
        those.begin()
        cut(those)
        await those.run()
        assert those.pending == ["second"]

    within(body, cut_outputs=CutOutputs.PUBLISHED, partitions=2)


def test_rows_that_were_never_sent_do_not_count_as_published() -> None:
    async def body(those: Those) -> None:
        those.commit("sent by the process before")
        those.begin()
        those.commit("sent by this one", "never sent")
        those.recovery.note_attempt(2)
        truncate(those)
        await those.run()
        assert those.pending == ["never sent"]

    within(body, cut_outputs=CutOutputs.PUBLISHED)


def test_any_row_of_a_shared_store_may_have_been_sent() -> None:
    async def body(those: Those) -> None:
        those.is_shared = True
        those.begin()
        those.commit("of another worker")
        truncate(those)
        await those.run()
        assert those.pending == []

    within(body, cut_outputs=CutOutputs.PUBLISHED)


def test_rows_lost_by_a_shared_store_are_not_looked_for() -> None:
    async def body(those: Those) -> None:
        those.is_shared = True
        those.begin()
        those.recovery.note_attempt(5)  # of the former primary; the promoted standby has fewer rows
        those.commit("of another worker")
        truncate(those)
        async with asyncio.timeout(10):
            await those.run()
        assert those.pending == []

    within(body, cut_outputs=CutOutputs.PUBLISHED)
