"""Authenticated sessions that expire (KIP-368): a connection authenticates again before the broker would close it.

A broker limits a session by the lifetime of its token and by `connections.max.reauth.ms`, and closes the connection at
the first request after it, without an answer. aiokafka would take that for a lost connection: it logs errors, and the
outcome of a transaction is in doubt.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable
from typing import Any

import aiokafka.conn
import structlog
from aiokafka.conn import AIOKafkaConnection, CloseReason, OAuthAuthenticator
from aiokafka.errors import SaslAuthenticationFailed
from aiokafka.protocol.admin import SaslAuthenticateRequest, SaslHandShakeRequest
from typing_extensions import override

from worker.kafka.errors import in_words

log = structlog.get_logger(__name__)

RENEW_AFTER = 0.85
"""Part of a session after which the next request renews it, as in Kafka's own clients."""
HOLD_AFTER = 0.95
"""Part of a session after which requests wait for its renewal, and not only for the messages of SASL."""
SHORTEST_SECONDS = 1.1
"""Brokers refuse to renew a session more than once a second."""
RETRY_SECONDS = 1.0

_SASL = (SaslHandShakeRequest, SaslAuthenticateRequest)


def reauthenticate_sessions() -> None:
    """Make every aiokafka client of this process use such connections. It has no setting for it."""
    aiokafka.conn.AIOKafkaConnection = ReauthenticatingConnection


class ReauthenticatingConnection(AIOKafkaConnection):  # type: ignore[misc]
    """A connection that authenticates again with the first request after most of its session has passed."""

    _renew_at = _hold_at = float("inf")
    _renewal: asyncio.Task[None] | None = None
    _is_authenticating = False

    @override
    def send(self, request: Any, expect_response: bool = True) -> Awaitable[Any]:
        if isinstance(request, _SASL):
            return self._send_sasl(request)
        if self._renewal is None and time.monotonic() >= self._renew_at:
            self._renewal = asyncio.create_task(self._renew())
        if self._renewal is not None and (self._is_authenticating or time.monotonic() >= self._hold_at):
            return self._send_after(self._renewal, (request, expect_response))
        sent: Awaitable[Any] = super().send(request, expect_response)
        return sent

    @override
    def close(self, reason: CloseReason | None = None, exc: BaseException | None = None) -> Any:
        if self._renewal is not None and self._renewal is not asyncio.current_task():
            self._renewal.cancel()
        return super().close(reason, exc)

    @override
    def authenticator_oauth(self) -> OAuthAuthenticator:
        return _BearerAuthenticator(sasl_oauth_token_provider=self._sasl_oauth_token_provider)

    async def _send_sasl(self, request: Any) -> Any:
        sent_at = time.monotonic()
        answer = await super().send(request)
        # 0: the session does not expire. Version 0 has no lifetime, as brokers of that age end no sessions.
        lifetime = getattr(answer, "session_lifetime_ms", 0) / 1000 or float("inf")
        self._renew_at = sent_at + max(SHORTEST_SECONDS, RENEW_AFTER * lifetime)
        self._hold_at = sent_at + max(SHORTEST_SECONDS, HOLD_AFTER * lifetime)
        return answer

    async def _send_after(self, renewal: asyncio.Task[None], arguments: tuple[Any, bool]) -> Any:
        """Send a request after the renewal: between the messages of SASL the broker accepts no other."""
        await asyncio.wait({renewal})
        return await super().send(*arguments)

    async def _renew(self) -> None:
        try:
            if self._sasl_oauth_token_provider is not None:
                await self._sasl_oauth_token_provider.token()  # can take long
            self._is_authenticating = True
            await self._do_sasl_handshake()
        except Exception as error:  # noqa: BLE001 - whatever it is, requests must not wait for ever
            log.warning("session not renewed", error=in_words(error))
            if self._is_authenticating:  # the broker expects the rest of SASL on this connection
                self.close(CloseReason.AUTH_FAILURE, error)
            self._renew_at = time.monotonic() + RETRY_SECONDS
        finally:
            self._renewal = None
            self._is_authenticating = False

    @override
    async def _do_sasl_handshake(self) -> None:
        try:
            await super()._do_sasl_handshake()
        except Exception as error:
            if type(error).__module__.startswith("gssapi"):
                raise SaslAuthenticationFailed(_kerberos_reason(error)) from error
            raise


def _kerberos_reason(error: Exception) -> str:
    """Return the reason that Kerberos gives for an error of GSSAPI, whose own is mostly unspecified.

    From its text: the library keeps reasons for the thread in which they occurred.
    """
    text = " ".join(str(error).split())
    minor = re.search(r", Minor \([1-9]\d*\): (.+)", text)
    return minor[1] if minor else text


class _BearerAuthenticator(OAuthAuthenticator):  # type: ignore[misc]
    """Exchange of messages for OAUTHBEARER, in which the broker may refuse the token."""

    @override
    async def step(self, payload: bytes | None) -> tuple[bytes | str, bool] | None:
        if payload:  # the refusal, in JSON; the answer to this has the reason (RFC 7628, section 3.2.3)
            return b"\x01", True
        step: tuple[bytes | str, bool] | None = await super().step(payload)
        return step
