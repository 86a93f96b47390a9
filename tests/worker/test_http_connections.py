"""Limits of connections: deadlines, and their number, so that a flood of them leaves the others untouched."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from typing import cast

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.support.serving import served
from worker.http import connections
from worker.http.connections import connection_limit
from worker.http.listening import listen
from worker.http.server import Server
from worker.settings import Http

LARGE = b"x" * 16 * 1024**2
GET = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
GET_LARGE = GET.replace(b"small", b"large")
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def small(_: Request) -> Response:
    return PlainTextResponse("small")


async def large(_: Request) -> Response:
    return Response(LARGE)


async def failing(_: Request) -> Response:
    raise ValueError


async def endless(_: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


ROUTES = {"/small": small, "/large": large, "/failing": failing, "/endless": endless}


class Site:
    """A server of `ROUTES`, and its clients."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.open = server.server_state.connections
        self._port = port
        self._clients: list[asyncio.StreamWriter] = []

    async def connect(self, sent: bytes = b"") -> Connection:
        """Connect, and send these bytes. The client does not read by itself."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1024)
        self._clients.append(writer)
        writer.write(sent)
        return reader, writer

    async def close(self) -> None:
        """Close both ends of every connection."""
        for task in list(self.server.server_state.tasks):
            task.cancel()
        for connection in list(self.open):
            connection.transport.abort()
        for writer in self._clients:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def running() -> AsyncIterator[Site]:
    application = Starlette(routes=[Route(path, answer) for path, answer in ROUTES.items()])
    with closing(listen(Http(host="127.0.0.1", port=0))) as listening:
        async with served(application, listening) as server:
            site = Site(server, listening.getsockname()[1])
            try:
                yield site
            finally:
                await site.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of the server, which has no event for it
            await asyncio.sleep(0.01)


async def ended(connection: Connection) -> bytes:
    """Return what is received until the server closes the connection."""
    received = b""
    try:
        while chunk := await asyncio.wait_for(connection[0].read(65536), 10):
            received += chunk
    except ConnectionResetError:
        pass
    return received


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(connections, "RESPONSE_SECONDS", 1.0)


@pytest.mark.usefixtures("deadlines")
@pytest.mark.parametrize("sent", [b"", b"GET /small HTT", GET[:-2], GET + GET[:-2], GET])
def test_connection_without_a_complete_request_is_closed(sent: bytes) -> None:
    async def wait() -> None:
        async with running() as site:
            received = await ended(await site.connect(sent))
            assert received.count(b"200 OK") == sent.count(b"\r\n\r\n")
            assert not site.open

    asyncio.run(wait())


@pytest.mark.usefixtures("deadlines")
@pytest.mark.parametrize(
    "head", [b"", GET, b"POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n"]
)
def test_dribbled_bytes_do_not_extend_the_deadline(head: bytes) -> None:
    async def dribble() -> None:
        async with running() as site:
            reader, writer = await site.connect(head)

            async def send_slowly() -> None:
                while True:
                    writer.write(b"x")
                    await asyncio.sleep(0.05)

            slowly = asyncio.create_task(send_slowly())
            await ended((reader, writer))
            slowly.cancel()

    asyncio.run(dribble())


@pytest.mark.usefixtures("deadlines")
def test_response_that_is_not_read_is_aborted() -> None:
    async def wait() -> None:
        async with running() as site:
            await site.connect(GET_LARGE)
            await until(lambda: bool(site.open))
            await until(lambda: not site.open)

    asyncio.run(wait())


@pytest.mark.usefixtures("deadlines")
def test_response_that_is_read_slowly_is_complete() -> None:
    async def read_slowly() -> None:
        async with running() as site:
            reader, _ = await site.connect(GET_LARGE)
            await asyncio.sleep(0.7)  # longer than a request may take
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"200 OK" in head
            assert await reader.readexactly(len(LARGE)) == LARGE

    asyncio.run(read_slowly())


def test_new_connection_replaces_the_one_that_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 8)

    async def flood() -> None:
        async with running() as site:
            idle = [await site.connect(b"GET /sm") for _ in range(8)]
            for replaced in idle:
                reader, writer = await site.connect(GET)
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
                assert await ended(replaced) == b""
                assert len(site.open) == 8
                writer.write(b"G")

    asyncio.run(flood())


def test_running_requests_are_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 4)

    async def flood() -> None:
        async with running() as site:
            for _ in range(4):
                await site.connect(GET.replace(b"small", b"endless"))
            await until(lambda: len(site.server.server_state.tasks) == 4)
            assert await ended(await site.connect(GET)) == b""
            assert len(site.open) == len(site.server.server_state.tasks) == 4

    asyncio.run(flood())


@pytest.mark.parametrize("sent", [GET_LARGE, GET_LARGE + GET_LARGE])
def test_unread_response_is_replaced(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)

    async def flood() -> None:
        async with running() as site:
            await site.connect(sent)
            await until(lambda: any(cast("H11Protocol", each).flow.write_paused for each in site.open))
            reader, writer = await site.connect(GET)
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()

    asyncio.run(flood())


@pytest.mark.parametrize(("descriptors", "limit"), [(64, 16), (256, 64), (1024, 256), (1_000_000, 256), (-1, 256)])
def test_limit_is_far_below_the_descriptor_limit(monkeypatch: pytest.MonkeyPatch, descriptors: int, limit: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert connection_limit() == limit


@pytest.mark.parametrize(("request_bytes", "status"), [
    (GET, 200),
    (GET.replace(b"small", b"unknown"), 404),
    (GET.replace(b"GET", b"PUT"), 405),
    (GET.replace(b"small", b"failing"), 500),
    (b"no request\r\n\r\n", 400),
    (GET.replace(b"localhost", b"x" * 1_000_000), 400),
    (GET.replace(b"\r\n\r\n", b"\r\nHost: other\r\n\r\n"), 400),
])  # fmt: skip
def test_every_response_has_the_headers(request_bytes: bytes, status: int) -> None:
    async def ask() -> bytes:
        async with running() as site:
            connection = await site.connect(request_bytes.replace(b"Host", b"Connection: close\r\nHost", 1))
            return await ended(connection)

    head = asyncio.run(ask()).partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith(f"http/1.1 {status}")
    lines = head.split("\r\n")
    assert "cache-control: no-store" in lines
    assert "cross-origin-resource-policy: same-origin" in lines
    assert "referrer-policy: no-referrer" in lines
    assert "x-content-type-options: nosniff" in lines
    assert "content-security-policy: default-src 'none'" in head
    assert not any(line.startswith("server:") for line in lines)
