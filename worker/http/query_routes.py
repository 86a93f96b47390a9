"""Queries over HTTP. Results contain customer data: they are served to local clients only, and to no web page."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker.monitoring.worker_report import STORE_HEADER, WorkerReport
from worker.queries.catalogue import QUERIES
from worker.queries.server import QueryFailed, QueryServer

_PASSED_ON = ("forwarded", "via", "x-forwarded-for", "x-real-ip")


class QueryRoutes:
    """Routes of `GET /ask/{name}`. `store_identity` identifies the store, `host` is the address that is listened on."""

    def __init__(
        self, query_server: QueryServer, report: Callable[[], WorkerReport], store_identity: str, host: str
    ) -> None:
        self._query_server = query_server
        self._report = report
        self._headers = {STORE_HEADER: store_identity}
        self._names = {"localhost", "127.0.0.1", "::1", host.lower()}

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/ask/worker", self._worker), Route("/ask/{name}", self._ask)]

    async def _worker(self, request: Request) -> Response:
        return self._refusal(request) or self._json(msgspec.json.encode(self._report()))

    async def _ask(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        query = QUERIES.get(request.path_params["name"])
        if query is None:
            return self._text(f"unknown query: the queries are worker, {', '.join(QUERIES)}", 404)
        try:
            parameters = msgspec.json.decode(request.query_params.get("parameters", "{}"), type=query.parameters)
            return self._json(await self._query_server.run(query, parameters))
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            return self._text(f"invalid parameters of {query.name}: {error}", 400)
        except QueryFailed as error:
            return self._text(str(error), 503)

    def _refusal(self, request: Request) -> Response | None:
        if self._is_from_here(request):
            return None
        return self._text(
            "queries about customers are served to local clients only. Run customer-worker on the worker's machine, "
            "connecting to localhost without a proxy",
            403,
        )

    def _is_from_here(self, request: Request) -> bool:
        """Return whether the client is on this machine and requests it by a local name.

        A web page whose domain name resolves to this machine requests it by that name (DNS rebinding).
        """
        return (
            request.client is not None
            and _is_loopback(request.client.host)
            and _name(request.headers.get("host", "")) in self._names
            and not any(header in request.headers for header in _PASSED_ON)
        )

    def _json(self, content: bytes) -> Response:
        return Response(content, media_type="application/json", headers=self._headers)

    def _text(self, sentence: str, status: int) -> Response:
        return PlainTextResponse(f"{sentence}\n", status, headers=self._headers)


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
