"""Snapshots of whole tables from a running worker: complete or refused, and in nobody's way."""

from __future__ import annotations

import asyncio
import io
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import msgspec
import pytest

from tests.support.builders import ADA, BOB, apply, cancellation, signup
from tests.support.held_file import held
from tests.support.serving import REPORT, served
from worker.bootstrap import store_identity
from worker.errors import Exit, Refusal
from worker.http.command_socket import CommandSocket
from worker.http.query_routes import QueryRoutes
from worker.http.server import command_application
from worker.monitoring.worker_report import STORE_HEADER
from worker.queries.server import QueryFailed, QueryServer
from worker.queries.snapshot import SnapshotQuery, TableColumns, reason_in
from worker.queries.snapshot_client import take_snapshot
from worker.queries.snapshot_server import Snapshot, SnapshotServer
from worker.settings import Settings, Store
from worker.snapshots.received_tables import received
from worker.socket_paths import socket_beside
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import StoreInUseError
from worker.stores.public_tables import COLUMNS, PublicTable

EVERYTHING = SnapshotQuery([TableColumns(table, list(COLUMNS[table])) for table in PublicTable])
JOURNAL = SnapshotQuery([TableColumns(PublicTable.JOURNAL, ["topic", "offset"])])
MANY = 200_000
"""Rows of a journal that no socket buffer holds."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "customers.duckdb"


@pytest.fixture
def settings(file: Path) -> Settings:
    return Settings(store=Store.model_validate({"url": f"duckdb:///{file}"}))


@pytest.fixture
def store(file: Path) -> Iterator[DuckDBStore]:
    store = DuckDBStore(str(file))
    apply(store, [signup(0), signup(1, BOB), cancellation(0, ADA, reason='"x"')])
    yield store
    store.close()


@pytest.fixture
def large(store: DuckDBStore) -> DuckDBStore:
    store._db.execute(
        'INSERT INTO decisions ("at", topic, partition, "offset", outcome)'
        f" SELECT now()::TIMESTAMP, 'a topic', 0, n, 'duplicate' FROM range({MANY}) numbers(n)"
    )
    return store


@asynccontextmanager
async def worker(store: DuckDBStore, settings: Settings, time_limit_seconds: float = 50.0) -> AsyncIterator[None]:
    """Answer commands as the running worker does. The file is in use, as it is for another process."""
    identity = {STORE_HEADER: store_identity(settings)}
    snapshots, queries = SnapshotServer(store, time_limit_seconds), QueryServer(store, settings)
    routes = QueryRoutes(queries, lambda: REPORT, identity, snapshots)
    in_use = patch("worker.queries.client.read_store", side_effect=StoreInUseError)
    with in_use, closing(CommandSocket(socket_beside(Path(store.path)))) as listening:
        async with served(command_application(routes), listening.socket):
            yield
    await snapshots.close()
    await queries.close()


def taken(settings: Settings, query: SnapshotQuery = EVERYTHING) -> list[dict[str, Any]]:
    """Return the rows of all tables."""
    with tempfile.TemporaryFile() as file:
        take_snapshot(settings, query, file, lambda _: None)
        return [row for table in query.tables for batch in received(file, table) for row in batch.to_pylist()]


def test_running_worker_answers_with_what_is_in_its_file(store: DuckDBStore, settings: Settings) -> None:
    async def ask() -> list[dict[str, Any]]:
        async with worker(store, settings):
            return await asyncio.to_thread(taken, settings)

    answered = asyncio.run(ask())
    assert len(answered) == 2 + 1 + 3
    store.close()
    assert taken(settings) == answered


@pytest.mark.parametrize("parameters", [
    '{"tables": [{"table": "outbox", "columns": ["id"]}]}', '{"tables": [{"table": "customers", "columns": ["id"]}]}',
    '{"tables": [{"table": "customers", "columns": ["1; DROP TABLE customers"]}]}', "{}",
    '{"tables": [{"table": "customers", "columns": []}]}', '{"tables": "customers"}',
])  # fmt: skip
def test_other_tables_and_columns_are_refused(store: DuckDBStore, settings: Settings, parameters: str) -> None:
    async def ask() -> tuple[int, str]:
        async with worker(store, settings):
            return await asyncio.to_thread(request, store, parameters)

    status, text = asyncio.run(ask())
    assert status == 400
    assert text.startswith("invalid parameters of snapshot: ")


def connected(store: DuckDBStore) -> HTTPConnection:
    connection = HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(30)
    connection.sock.connect(str(socket_beside(Path(store.path))))
    return connection


def request(store: DuckDBStore, parameters: str) -> tuple[int, str]:
    with closing(connected(store)) as connection:
        connection.request("GET", f"/ask/snapshot?parameters={quote(parameters)}")
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")


def test_client_that_leaves_makes_room_for_the_next(large: DuckDBStore, settings: Settings) -> None:
    def leave() -> None:
        with closing(connected(large)) as connection:
            connection.request("GET", f"/ask/snapshot?parameters={quote(msgspec.json.encode(JOURNAL).decode())}")
            assert connection.getresponse().read(1)

    async def ask() -> int:
        async with worker(large, settings):
            await asyncio.to_thread(leave)
            return len(await asyncio.to_thread(taken, settings, JOURNAL))

    assert asyncio.run(ask()) == MANY + 3
    assert not large._views


def test_snapshots_are_read_one_at_a_time(store: DuckDBStore) -> None:
    async def ask() -> None:
        snapshots = SnapshotServer(store, wait_seconds=0.1)
        first = await snapshots.open(EVERYTHING)
        with pytest.raises(QueryFailed, match="another command reads whole tables at the moment"):
            await snapshots.open(EVERYTHING)
        await first.close()
        await (await snapshots.open(EVERYTHING)).close()
        await snapshots.close()

    asyncio.run(ask())


async def rest(parts: AsyncIterator[bytes]) -> str:
    """Read the rest of a snapshot, and return the reason in its trailer."""
    result = io.BytesIO()
    async for part in parts:
        result.write(part)
    return reason_in(result)


async def until_closed(store: DuckDBStore) -> None:
    async with asyncio.timeout(10):
        while store._views:  # noqa: ASYNC110 - closed by another thread
            await asyncio.sleep(0.01)


@asynccontextmanager
async def half_read(snapshots: SnapshotServer) -> AsyncIterator[tuple[Snapshot, AsyncIterator[bytes]]]:
    """Open a snapshot of which the client has read the beginning only."""
    snapshot = await snapshots.open(JOURNAL)
    async with aclosing(snapshot.parts()) as parts:  # type: ignore[type-var]
        for _ in range(3):
            await anext(parts)
        yield snapshot, parts
    await snapshot.close()
    await snapshots.close()


def test_slow_client_does_not_keep_the_snapshot(large: DuckDBStore) -> None:
    async def ask() -> str:
        async with half_read(SnapshotServer(large, time_limit_seconds=0.2)) as (_, parts):
            await until_closed(large)
            return await rest(parts)

    assert asyncio.run(ask()) == "the tables were not read within 0.2 s"


def test_store_is_reopened_beside_an_idle_snapshot(large: DuckDBStore) -> None:
    async def ask() -> tuple[str, float]:
        async with half_read(SnapshotServer(large)) as (_, parts):
            began = time.monotonic()
            await asyncio.to_thread(large.reopen)
            return await rest(parts), time.monotonic() - began

    reason, took = asyncio.run(ask())
    assert reason == "the store is being closed"
    assert took < 4
    apply(large, [signup(7, "e0e0e0e0-0000-4000-8000-00000000000e")])


def test_stopping_worker_ends_the_snapshot(large: DuckDBStore) -> None:
    async def ask() -> str:
        snapshots = SnapshotServer(large)
        async with half_read(snapshots) as (_, parts):
            await snapshots.close()
            assert not large._views
            return await rest(parts)

    assert asyncio.run(ask()) == "the worker stops"


def test_early_end_is_reported(large: DuckDBStore, settings: Settings) -> None:
    async def ask() -> None:
        async with worker(large, settings, time_limit_seconds=0.0):
            await asyncio.to_thread(taken, settings, JOURNAL)

    with pytest.raises(Refusal, match=r"the tables were not read within 0 s") as refused:
        asyncio.run(ask())
    assert refused.value.code is Exit.UNREACHABLE


def test_worker_that_dies_while_it_answers_is_replaced(store: DuckDBStore, file: Path, settings: Settings) -> None:
    store.close()
    complete = taken(settings)
    header = f"HTTP/1.1 200 OK\r\n{STORE_HEADER}: {store_identity(settings)}\r\ntransfer-encoding: chunked\r\n\r\n"
    with ExitStack() as running:
        running.enter_context(held(file))
        listening = running.enter_context(closing(CommandSocket(socket_beside(file)))).socket
        listening.settimeout(30)
        answers: list[list[dict[str, Any]]] = []
        asking = threading.Thread(target=lambda: answers.append(taken(settings)))
        asking.start()
        with listening.accept()[0] as connection:
            connection.recv(10_000)
            connection.sendall(header.encode() + b"4\r\nhalf\r\n")
    asking.join(30)
    assert answers == [complete]
