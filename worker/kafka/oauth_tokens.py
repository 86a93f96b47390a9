"""Access tokens for SASL OAUTHBEARER: read from their source, kept while they are valid, renewed before they expire.

All clients of a process share one provider, so that a token is requested once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import structlog
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError
from typing_extensions import override

log = structlog.get_logger(__name__)

RENEW_AFTER = 0.8
"""Part of a token's lifetime after which it is renewed, as in Kafka's own clients. It is used on if that fails."""
RETRY_SECONDS = 5.0
"""Between two requests that fail: clients that reconnect ask many times a second."""
LIMIT_SECONDS = 15.0
"""For one request as a whole."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750; other characters would end the token within its SASL message


class TokenUnavailable(KafkaError):  # type: ignore[misc]
    """No token: the message has the failure with its cause, `advice` the remedy. Neither quotes a secret."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}. {advice}")
        self.what = what
        self.advice = advice

    @override
    def __str__(self) -> str:
        return f"{self.what}. {self.advice}"  # `KafkaError` puts the name of the class before it


class Token(NamedTuple):
    """A token, and the seconds that it is valid from now; None if that is unknown."""

    value: str
    lifetime: float | None


Source = Callable[[], Token]
"""Reads a token; may block. Raises `TokenUnavailable`."""


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Provides the tokens of a source. May be used by several event loops and threads."""

    def __init__(
        self, source: Source, extensions: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._extensions = dict(extensions)
        self._clock = clock
        self._lock = threading.Lock()
        self._value = ""
        self._renew_at = self._expires_at = self._retry_at = float("-inf")
        self._failure: TokenUnavailable | None = None

    @override
    async def token(self) -> str:
        """Return a valid token. Raises `TokenUnavailable`."""
        if self._clock() < self._renew_at:
            return self._value
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                return await asyncio.to_thread(self.read)
        except TimeoutError:
            raise TokenUnavailable(
                f"no access token within {LIMIT_SECONDS:.0f} s", "Check the source of the tokens, and the network"
            ) from None

    @override
    def extensions(self) -> dict[str, str]:
        """Return the SASL extensions that are sent with the token."""
        return self._extensions

    def read(self) -> str:
        """Return a valid token, in the calling thread. Raises `TokenUnavailable`."""
        with self._lock:
            now = self._clock()
            if now < self._renew_at:
                return self._value
            if now >= self._retry_at:
                self._renew()
            if self._failure is None or self._clock() < self._expires_at:
                return self._value
            raise self._failure

    @property
    def valid_seconds(self) -> float:
        """Remaining validity of the last token, at least 0."""
        return max(0.0, self._expires_at - self._clock())

    def _renew(self) -> None:
        try:
            self._value, lifetime = self._source()
        except TokenUnavailable as failure:
            now = self._clock()
            self._failure, self._retry_at = failure, now + RETRY_SECONDS
            if now < self._expires_at:
                log.warning("access token not renewed", error=str(failure), valid_seconds=round(self.valid_seconds))
            return
        now = self._clock()
        self._failure = None
        self._expires_at = now + (lifetime or 0.0)
        self._renew_at = now + RENEW_AFTER * (lifetime or 0.0)
        log.debug("access token read", valid_seconds=lifetime and round(lifetime))


def require_token(text: object, origin: str) -> str:
    """Return the token. Raises `TokenUnavailable` if the text is none."""
    if isinstance(text, str) and _TOKEN.fullmatch(text):
        return text
    raise TokenUnavailable(f"{origin} has no access token", "Check that it contains one token and nothing else")


def jwt_lifetime(token: str) -> float | None:
    """Return the seconds until a JSON Web Token expires; None if it is not one, or has no `exp`."""
    try:
        _, payload, _ = token.split(".")
        claims: Any = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) - time.time()
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        return None
