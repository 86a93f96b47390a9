"""Access to the TCP port: no request caused by another web site, and customer data only with the bearer token."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import ip_address
from typing import Protocol

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send


class RefuseOtherSites:
    """Middleware that refuses requests which a web page of another site caused. Links to a page are followed.

    `host` is the host setting of the server. On a loopback address, and on a Unix socket to which a local port is
    forwarded, a Host header names this machine: a browser that requests another name was given this address by DNS
    rebinding.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._own_name = host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        reason = self._refusal(scope, Headers(scope=scope))
        app = self._app if reason is None else PlainTextResponse(f"{reason}\n", 403)
        await app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        if "origin" in headers:  # browsers send none with a GET of the same origin
            return "requests of other web pages are refused: the request has an Origin header"
        if headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not _is_link(headers):
            return "requests of other web pages are refused: Sec-Fetch-Site is not same-origin"
        if "host" in headers and not self._is_expected_name(scope, _name(headers["host"])):
            return (
                "requests to a loopback address are answered if their Host header is localhost, a loopback address or "
                "CUSTOMER_WORKER_HTTP__HOST"
            )
        return None

    def _is_expected_name(self, scope: Scope, name: str) -> bool:
        is_local = name in {"localhost", self._own_name} or _is_loopback(name)
        address, port = scope["server"]
        return is_local or not (port is None or _is_loopback(address))


class Refuse(Protocol):
    """Builds the response to a refused request."""

    def __call__(self, status: int, reason: str, headers: Mapping[str, str], /) -> Response: ...  # noqa: D102 - see above


class RequireToken:
    """Middleware that refuses requests without the bearer token; all of them if there is no token.

    With `as_password`, the token is also accepted as the password of HTTP's Basic authentication, which browsers can
    send. `what` names what is protected.
    """

    def __init__(
        self, app: ASGIApp, token: SecretStr | None, what: str, refuse: Refuse, *, as_password: bool = False
    ) -> None:
        self._app = app
        self._digest = None if token is None else _digest(token.get_secret_value())
        self._what = what
        self._refuse = refuse
        self._as_password = as_password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        refusal = self._refusal(Headers(scope=scope).get("authorization", ""))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, authorization: str) -> Response | None:
        if self._digest is None:
            return self._refuse(
                403,
                f"{self._what} are not served on this port, as CUSTOMER_WORKER_HTTP__TOKEN is not set. Run "
                "customer-worker on the worker's machine as the worker's user",
                {},
            )
        credentials = _credentials(authorization, as_password=self._as_password)
        if hmac.compare_digest(_digest(credentials), self._digest):
            return None
        password = ", or as the password of a browser's prompt (any user name)" if self._as_password else ""
        refusal = self._refuse(
            401,
            f"{self._what} require the header 'Authorization: Bearer' with the value of "
            f"CUSTOMER_WORKER_HTTP__TOKEN{password}",
            {"www-authenticate": "Bearer"},
        )
        if self._as_password:
            refusal.headers.append("www-authenticate", _BASIC)
        return refusal


_BASIC = 'Basic realm="customer-worker", charset="UTF-8"'


def _credentials(authorization: str, *, as_password: bool) -> str:
    """Return the token in the header, empty if there is none: schemes are case-insensitive (RFC 9110)."""
    scheme, _, credentials = authorization.partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials
    if scheme.lower() != "basic" or not as_password:
        return ""
    try:
        _, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()  # of equal length, so that the comparison takes the same time


def _is_link(headers: Headers) -> bool:
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


_HOST_HEADER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]*)?").fullmatch


def _name(host: str) -> str:
    """Return the name in a Host header, or the address in its shortest form; empty if there is neither."""
    match = _HOST_HEADER(host)
    if match is None:
        return ""
    address, name = match.groups()
    try:
        return ip_address(address).compressed if address else name.lower()
    except ValueError:
        return ""
