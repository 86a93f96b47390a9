"""Listening addresses: IPv4, IPv6 and both, and the errors of unusable ones."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from http.client import HTTPConnection

import pytest
from starlette.applications import Starlette

from worker.errors import Exit, Refusal
from worker.http import server as http
from worker.http.listening import listen
from worker.http.query_routes import QueryRoutes
from worker.monitoring.worker_report import WorkerReport
from worker.queries.server import QueryServer
from worker.settings import Http, Settings
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore

REPORT = WorkerReport("1.2.3", datetime(2026, 6, 30, tzinfo=UTC), [], None)


@asynccontextmanager
async def serving(host: str) -> AsyncIterator[int]:
    """Questions answered on a free port of this address; yields the port."""
    with closing(listen(Http(host=host, port=0))) as listening, closing(DuckDBStore(MEMORY)) as store:
        routes = QueryRoutes(QueryServer(store, Settings()), lambda: REPORT, "mark", host).routes()
        server = http.Server(Starlette(routes=routes))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def status(address: str, port: int, host: str | None = None) -> int:
    with closing(HTTPConnection(address, port, timeout=10)) as connection:
        connection.request("GET", "/ask/worker", headers={} if host is None else {"Host": host})
        return connection.getresponse().status


@pytest.mark.parametrize(("listens_on", "asked_at"), [
    ("127.0.0.1", ["127.0.0.1", "localhost"]),
    ("localhost", ["127.0.0.1", "localhost"]),
    ("0.0.0.0", ["127.0.0.1"]),
    ("::1", ["::1"]),
    ("::", ["::1", "127.0.0.1"]),
])  # fmt: skip
def test_questions_are_answered_at_each_address(listens_on: str, asked_at: list[str]) -> None:
    async def ask() -> None:
        async with serving(listens_on) as port:
            for address in asked_at:
                assert await asyncio.to_thread(status, address, port) == 200

    asyncio.run(ask())


@pytest.mark.parametrize(("host", "expected"), [
    ("[::1]", 200), ("[0:0:0:0:0:0:0:1]:1", 200), ("localhost", 200), ("evil.example", 403), ("[2001:db8::1]", 403),
    ("[::1].evil.example", 403), ("::1.evil.example", 403), ("", 403),
])  # fmt: skip
def test_other_names_are_refused_on_ipv6(host: str, expected: int) -> None:
    async def ask() -> None:
        async with serving("::1") as port:
            assert await asyncio.to_thread(status, "::1", port, host) == expected

    asyncio.run(ask())


def refused(host: str, port: int = 0) -> str:
    with pytest.raises(Refusal) as refusal:
        listen(Http(host=host, port=port))
    assert refusal.value.code is Exit.CONFIGURATION
    return str(refusal.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid"])
def test_address_of_another_machine_names_the_host_setting(host: str) -> None:
    sentence = refused(host)
    assert "CUSTOMER_WORKER_HTTP__HOST" in sentence
    assert "HTTP__PORT" not in sentence
    assert "('" not in sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_port_in_use_names_the_port_setting(host: str) -> None:
    with closing(listen(Http(host=host, port=0))) as taken:
        sentence = refused(host, taken.getsockname()[1])
    assert "CUSTOMER_WORKER_HTTP__PORT" in sentence
    assert "HTTP__HOST" not in sentence


def test_ipv6_address_does_not_listen_on_ipv4() -> None:
    with closing(listen(Http(host="::1", port=0))) as listening:
        port = listening.getsockname()[1]
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.1", port))
