"""HTTP server: health, metrics, the operations page, queries, and the contract as documents."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp
from typing_extensions import override

from worker.http.access import RefuseOtherSites, RequireToken
from worker.http.connections import BoundedConnection
from worker.http.pages.frame import POLICY
from worker.http.pages.routes import PageRoutes
from worker.http.query_routes import QueryRoutes
from worker.messages import schemas
from worker.messages.asyncapi import asyncapi
from worker.monitoring.checks import Check
from worker.monitoring.health import Health
from worker.settings import Http, Settings

_BACKLOG = 128
"""Connections that the system accepts for the server; all of them are taken at once."""
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of every response: they forbid caching, foreign scripts, framing, content sniffing and use by other sites."""


class Server(uvicorn.Server):
    """Server of an application on a socket until `should_exit`. Signal handlers remain those of the worker."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedConnection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                headers=list(_HEADERS.items()),
                backlog=_BACKLOG,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker."""
        yield


def open_routes(health: Health, settings: Settings, metrics: Route) -> list[BaseRoute]:
    """Return the routes that everybody may use, besides pages: health, metrics and the documents of the contract."""
    return [
        Route("/livez", _checks(health.live)),
        Route("/readyz", _checks(health.ready)),
        Route("/asyncapi.json", _asyncapi(settings)),
        Route("/schemas/{name}.json", _schema),
        metrics,
    ]


def port_application(
    http: Http, queries: QueryRoutes, others: Sequence[BaseRoute] = (), pages: PageRoutes | None = None
) -> ASGIApp:
    """Build an application that serves customer data with the token only, and nothing to web pages of other sites."""
    token = Middleware(RequireToken, token=http.token, what="queries about customers", refuse=queries.refusal)
    routes = [*others, *queries.routes(token)]
    if pages is not None:
        what = "pages with customer data"
        access = Middleware(RequireToken, token=http.token, what=what, refuse=pages.refusal, as_password=True)
        routes += pages.routes(access)
    return Starlette(routes=routes, middleware=[Middleware(RefuseOtherSites, host=http.host)])


def command_application(
    http: Http, queries: QueryRoutes, others: Sequence[BaseRoute] = (), pages: PageRoutes | None = None
) -> ASGIApp:
    """Build the application of the command socket. Its clients are the user of the worker, or use a port forwarded."""
    routes = [*others, *queries.routes(), *(pages.routes() if pages else ())]
    return Starlette(routes=routes, middleware=[Middleware(RefuseOtherSites, host=http.host)])


def _checks(check_all: Callable[[], list[Check]]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        found = check_all()
        status = 200 if all(check.is_well for check in found) else 503
        if "verbose" not in request.query_params:
            return PlainTextResponse("ok\n" if status == 200 else "not ok\n", status)  # noqa: PLR2004
        checks = [{"name": c.name, "ok": c.is_well, "found": c.found if c.is_well else c.advice} for c in found]
        return _AsciiJson({"ok": status == 200, "checks": checks}, status)  # noqa: PLR2004

    return answer


def _asyncapi(settings: Settings) -> Callable[[Request], Response]:
    document = asyncapi(settings)
    return lambda _: _AsciiJson(document)


def _schema(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in schemas.MESSAGES:
        return PlainTextResponse(f"unknown schema: the schemas are {', '.join(schemas.MESSAGES)}\n", 404)
    return _AsciiJson(schemas.schema(name), media_type="application/schema+json")


class _AsciiJson(JSONResponse):
    """JSON in ASCII, which a terminal can show whatever text is in it."""

    @override
    def render(self, content: object) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()
