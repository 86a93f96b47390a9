"""A running worker's answers: one at a time, within a bound, and none that outlives it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.store.changes import prepare
from worker.queries.query import NoParameters, Query
from worker.queries.server import QueryFailed, QueryServer
from worker.settings import Settings
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.duckdb.view import DuckDBView
from worker.stores.reading import StoreView

FOREVER = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 <> b.range % 5"


@pytest.fixture
def store() -> Iterator[DuckDBStore]:
    store = DuckDBStore(MEMORY)
    prepare(store)
    yield store
    store.close()


def customers(view: StoreView, _: Settings, __: NoParameters) -> int:
    return view.totals().customers


COUNT = Query("count", NoParameters, int, customers)


class Endless:
    """A question without an end. `began` is set once it is being looked up."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.question = Query("endless", NoParameters, int, self._find)

    def _find(self, view: StoreView, _: Settings, __: NoParameters) -> int:
        assert isinstance(view, DuckDBView)
        self.began.set()
        return len(view._rows(FOREVER))


def test_an_answer_comes_as_json(store: DuckDBStore) -> None:
    async def ask() -> bytes:
        answering = QueryServer(store, Settings())
        try:
            return await answering.run(COUNT, NoParameters())
        finally:
            await answering.close()

    assert asyncio.run(ask()) == b"1"


def test_the_event_loop_goes_on_while_an_answer_is_looked_up(store: DuckDBStore) -> None:
    async def ask() -> None:
        answering, endless = QueryServer(store, Settings(), time_limit_seconds=5), Endless()
        asking = asyncio.create_task(answering.run(endless.question, NoParameters()))
        assert await asyncio.to_thread(endless.began.wait, 4), "which it could not be told while the loop stood still"
        assert not asking.done()
        await answering.close()
        with pytest.raises(QueryFailed):
            await asking

    asyncio.run(ask())


def test_a_question_that_takes_too_long_is_ended_and_the_next_one_answered(store: DuckDBStore) -> None:
    async def ask() -> None:
        answering, endless = QueryServer(store, Settings(), time_limit_seconds=0.5), Endless()
        with pytest.raises(QueryFailed, match=r"endless was not completed within 0\.5 s"):
            await answering.run(endless.question, NoParameters())
        assert await answering.run(COUNT, NoParameters()) == b"1"
        await answering.close()

    asyncio.run(ask())


def test_one_question_at_a_time_and_none_waits_longer_than_the_bound(store: DuckDBStore) -> None:
    looked_up = []

    def note(view: StoreView, _: Settings, __: NoParameters) -> int:
        looked_up.append(threading.current_thread())
        return customers(view, Settings(), NoParameters())

    async def ask() -> list[bytes | BaseException]:
        answering, endless = QueryServer(store, Settings(), time_limit_seconds=1), Endless()
        noted = Query("noted", NoParameters, int, note)
        asking = [asyncio.create_task(answering.run(q, NoParameters())) for q in (endless.question, noted, noted)]
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert not looked_up, "while one is looked up, others wait, and then are not looked up any more"
        assert await answering.run(noted, NoParameters()) == b"1"
        await answering.close()
        return found

    assert [type(each) for each in asyncio.run(ask())] == [QueryFailed] * 3
    assert len(looked_up) == 1


def test_closing_ends_the_question_in_hand_and_lets_the_store_be_closed(store: DuckDBStore) -> None:
    async def ask() -> None:
        answering, endless = QueryServer(store, Settings(), time_limit_seconds=60), Endless()
        asking = asyncio.create_task(answering.run(endless.question, NoParameters()))
        assert await asyncio.to_thread(endless.began.wait, 10)
        async with asyncio.timeout(10):
            await answering.close()
            with pytest.raises(QueryFailed):
                await asking

    asyncio.run(ask())


def test_a_store_that_fails_is_told_in_its_own_words(store: DuckDBStore) -> None:
    async def ask() -> None:
        answering = QueryServer(store, Settings())
        store.close()
        with pytest.raises(QueryFailed, match=r"the store :memory: failed"):
            await answering.run(COUNT, NoParameters())
        await answering.close()

    asyncio.run(ask())
