"""Pending rows of the outbox come from memory if their commits were added, else from the store."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.worker.output_topics import event
from worker.outbox.backlog import BATCHES_KEPT, Backlog
from worker.stores.changes import Changes, Committed, PendingBatch
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.thread import StoreThread


class CountingStore(DuckDBStore):
    """A store that counts how often the outbox was read."""

    reads = 0

    def pending(self, after_seq: int, limit: int, up_to_seq: int | None = None) -> PendingBatch:
        self.reads += 1
        return super().pending(after_seq, limit, up_to_seq)


class Those:
    """A backlog and its store."""

    def __init__(self, store: CountingStore, thread: StoreThread) -> None:
        self.store = store
        self.backlog = Backlog(store, thread)

    def commit(self, *ids: str) -> Committed:
        return self.store.commit(Changes(outbox=[event(each) for each in ids]))

    async def ids(self) -> list[str]:
        """Return the ids of all that is to be published, in order."""
        found: list[str] = []
        seq = -1
        batch = await self.backlog.after(0)
        while batch.last_seq != seq:
            found += [message.id for message in batch.messages]
            seq = batch.last_seq
            batch = await self.backlog.after(seq)
        return found


def within(body: Callable[[Those], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        thread = StoreThread()
        store = CountingStore(MEMORY)
        await body(Those(store, thread))
        store.close()
        thread.close()

    asyncio.run(run())


def added(those: Those, commits: Sequence[Committed]) -> list[bool]:
    return [those.backlog.add(committed) for committed in commits]


def test_added_commits_are_not_read_from_the_store() -> None:
    async def body(those: Those) -> None:
        assert added(those, [those.commit("a", "b"), those.commit("c")]) == [True, True]
        assert await those.ids() == ["a", "b", "c"]
        assert those.store.reads == 0

    within(body)


def test_commit_without_messages_is_nothing_to_publish() -> None:
    async def body(those: Those) -> None:
        assert added(those, [those.commit()]) == [False]
        assert await those.ids() == []
        assert those.store.reads == 0

    within(body)


def test_rows_without_numbers_are_left_to_the_store() -> None:
    async def body(those: Those) -> None:
        committed = those.commit("a")
        assert those.backlog.add(Committed(committed.messages, rows=None))
        assert not those.backlog.add(Committed([], rows=None))
        those.backlog.look_again()
        assert await those.ids() == ["a"]
        assert those.store.reads > 0

    within(body)


def test_commits_that_were_not_added_are_read_in_their_order() -> None:
    async def body(those: Those) -> None:
        those.backlog.add(those.commit("a"))
        those.commit("doubtful")
        those.backlog.add(those.commit("b"))
        assert await those.ids() == ["a", "doubtful", "b"]
        those.store.reads = 0
        those.backlog.add(those.commit("c"))
        assert [message.id for message in (await those.backlog.after(3)).messages] == ["c"]
        assert those.store.reads == 0

    within(body)


def test_commits_beyond_the_limit_are_read_from_the_store() -> None:
    async def body(those: Those) -> None:
        ids = [str(number) for number in range(2 * BATCHES_KEPT)]
        for each in ids:
            those.backlog.add(those.commit(each))
        assert len(those.backlog._batches) == BATCHES_KEPT
        assert await those.ids() == ids

    within(body)


def test_settled_backlog_leaves_out_rows_with_a_receipt() -> None:
    async def body(those: Those) -> None:
        those.backlog.add(those.commit("a", "b"))
        those.store.keep_receipts(["a"], {})
        await those.backlog.settle()
        assert await those.ids() == ["b"]

    within(body)


def test_commit_from_before_the_settlement_is_read_again() -> None:
    async def body(those: Those) -> None:
        committed = those.commit("a", "b")
        those.store.keep_receipts(["a"], {})
        await those.backlog.settle()
        those.backlog.add(committed)  # on its way while receipts were read
        assert await those.ids() == ["b"]

    within(body)


def test_doubtful_commit_is_read_from_the_store() -> None:
    async def body(those: Those) -> None:
        await those.backlog.settle()
        those.commit("doubtful")
        assert await those.ids() == []
        those.backlog.look_again()
        assert await those.ids() == ["doubtful"]

    within(body)


def test_backlog_grows_by_the_commits_of_other_workers_only() -> None:
    async def body(those: Those) -> None:
        await those.backlog.settle()
        assert not await those.backlog.has_grown()
        committed = those.commit("a")
        assert await those.backlog.has_grown()
        those.backlog.add(committed)
        assert not await those.backlog.has_grown()

    within(body)


def test_commit_during_the_settlement_is_published() -> None:
    async def body(those: Those) -> None:
        those.backlog.add(those.commit("a"))
        last_seq = those.backlog._last_seq

        async def overtaken() -> int:
            found = await last_seq()
            those.backlog.add(those.commit("b"))
            return found

        those.backlog._last_seq = overtaken  # type: ignore[method-assign]
        await those.backlog.settle()
        assert [message.id for message in (await those.backlog.after(1)).messages] == ["b"]

    within(body)
