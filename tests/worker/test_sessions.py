"""Sessions that expire are renewed on the open connection, and no request is sent after they have."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed
from aiokafka.protocol.admin import ApiVersionResponse_v0, SaslAuthenticateResponse_v1, SaslHandShakeResponse_v1
from aiokafka.protocol.metadata import MetadataRequest, MetadataResponse_v5
from structlog.testing import capture_logs

from worker.kafka import sessions
from worker.kafka.oauth_tokens import TokenUnavailable
from worker.kafka.sessions import reauthenticate_sessions

METADATA, HANDSHAKE, AUTHENTICATE = 3, 17, 36
SESSION_SECONDS = 1.0


class Broker:
    """One connection of a broker, as far as sessions go: an expired one is closed at the next other request."""

    def __init__(self) -> None:
        self.requests: list[int] = []
        self.refusal = b""
        self._expires_at = 0.0
        self._is_open = False

    def answer(self, api: int, body: bytes) -> Any:
        """Return the response; None closes the connection."""
        self.requests.append(api)
        match api:
            case 18:
                return ApiVersionResponse_v0(0, [(3, 0, 5), (17, 0, 1), (18, 0, 0), (36, 0, 1)])
            case 17:
                self._is_open = False
                return SaslHandShakeResponse_v1(0, ["OAUTHBEARER"])
            case 36:
                return self._authenticated(body)
        is_alive = self._is_open and time.monotonic() <= self._expires_at
        return MetadataResponse_v5(0, [], None, -1, []) if is_alive else None

    def _authenticated(self, body: bytes) -> SaslAuthenticateResponse_v1:
        if not self.refusal:
            self._is_open, self._expires_at = True, time.monotonic() + SESSION_SECONDS
            return SaslAuthenticateResponse_v1(0, None, b"", int(SESSION_SECONDS * 1000))
        if body.endswith(b"\x00\x00\x00\x01\x01"):  # the client has read the refusal
            return SaslAuthenticateResponse_v1(58, "the token has expired", b"", 0)
        return SaslAuthenticateResponse_v1(0, None, self.refusal, 0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests in order until either side closes the connection."""
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                body = await reader.readexactly(size)
                api, _, correlation = struct.unpack(">hhi", body[:8])
                if (answer := self.answer(api, body)) is None:
                    break
                frame = struct.pack(">i", correlation) + answer.encode()
                writer.write(struct.pack(">i", len(frame)) + frame)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens that take a moment, or fail."""

    failure: TokenUnavailable | None = None

    async def token(self) -> str:
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(0.01)
        return "token"


@pytest.fixture(autouse=True)
def _short_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    reauthenticate_sessions()
    monkeypatch.setattr(sessions, "SHORTEST_SECONDS", 0.0)


@asynccontextmanager
async def connected(broker: Broker, tokens: Tokens) -> AsyncIterator[Any]:
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    async with server:
        connection = await create_conn(
            *server.sockets[0].getsockname(),
            request_timeout_ms=5_000,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="OAUTHBEARER",
            sasl_oauth_token_provider=tokens,
        )
        try:
            yield connection
        finally:
            await connection.close()


def run(test: Callable[[Broker, Tokens, Any], Coroutine[Any, Any, None]]) -> Broker:
    """Run a test on a connection to a broker, and return the broker."""

    async def connect() -> None:
        async with connected(broker, tokens) as connection:
            await test(broker, tokens, connection)

    broker, tokens = Broker(), Tokens()
    asyncio.run(connect())
    return broker


def renewals(broker: Broker) -> int:
    return broker.requests.count(AUTHENTICATE) - 1


def test_busy_connection_renews_its_session() -> None:
    async def send(_: Broker, __: Tokens, connection: Any) -> None:
        async def requests() -> None:
            while time.monotonic() < end:
                await connection.send(MetadataRequest([]))

        end = time.monotonic() + 2.5 * SESSION_SECONDS
        await asyncio.gather(*(requests() for _ in range(4)))

    assert renewals(run(send)) == 2


def test_idle_connection_renews_before_its_next_request() -> None:
    async def send(_: Broker, __: Tokens, connection: Any) -> None:
        await asyncio.sleep(1.2 * SESSION_SECONDS)
        await asyncio.gather(*(connection.send(MetadataRequest([])) for _ in range(3)))

    assert run(send).requests[-5:] == [HANDSHAKE, AUTHENTICATE, METADATA, METADATA, METADATA]


def test_session_is_used_on_while_there_is_no_token() -> None:
    async def send(broker: Broker, tokens: Tokens, connection: Any) -> None:
        tokens.failure = TokenUnavailable("the endpoint failed", "Check it")
        await asyncio.sleep(0.9 * SESSION_SECONDS)
        await connection.send(MetadataRequest([]))
        assert broker.requests[-1] == METADATA
        tokens.failure = None
        await asyncio.sleep(SESSION_SECONDS)
        await connection.send(MetadataRequest([]))

    assert renewals(run(send)) == 1


def test_refused_token_is_reported_with_the_brokers_reason() -> None:
    async def connect() -> None:
        broker.refusal = b'{"status":"invalid_token"}'
        async with connected(broker, Tokens()):
            pass

    broker = Broker()
    with pytest.raises(SaslAuthenticationFailed, match="the token has expired"):
        asyncio.run(connect())


def test_refused_renewal_closes_the_connection() -> None:
    async def send(broker: Broker, _: Tokens, connection: Any) -> None:
        broker.refusal = b'{"status":"invalid_token"}'
        await asyncio.sleep(SESSION_SECONDS)
        with pytest.raises(KafkaConnectionError):
            await connection.send(MetadataRequest([]))
        assert not connection.connected()

    run(send)


def test_connection_can_be_closed_during_a_renewal() -> None:
    async def send(_: Broker, __: Tokens, connection: Any) -> None:
        await asyncio.sleep(SESSION_SECONDS)
        request = asyncio.ensure_future(connection.send(MetadataRequest([])))
        await asyncio.sleep(0)  # waits for the renewal, which waits for its token
        connection.close()
        with pytest.raises(KafkaConnectionError):
            await request
        assert connection._renewal is None

    with capture_logs() as logged:
        run(send)
    assert logged == []  # not a failure
