"""HTTP server: health, metrics, the operations page, queries, and the contract as documents."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.http.operations_page import STYLE_SOURCE
from worker.http.operations_routes import OperationsRoutes
from worker.http.query_routes import QueryRoutes
from worker.messages import schemas
from worker.monitoring.checks import Check
from worker.monitoring.health import Health
from worker.settings import Topics

_CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {STYLE_SOURCE}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Server(uvicorn.Server):
    """Server of an application on a socket until `should_exit`. Signal handlers remain those of the worker."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", proxy_headers=False))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker."""
        yield


def application(health: Health, topics: Topics, queries: QueryRoutes, operations: OperationsRoutes) -> ASGIApp:
    """Build the application with all routes."""
    return Starlette(
        routes=[
            Route("/livez", _checks(health.live)),
            Route("/readyz", _checks(health.ready)),
            Route("/asyncapi.json", _asyncapi(topics)),
            Route("/schemas/{name}.json", _schema),
            *operations.routes(),
            *queries.routes(),
        ],
        middleware=[Middleware(_SafeHeaders)],
    )


def _checks(check_all: Callable[[], list[Check]]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        found = check_all()
        status = 200 if all(check.is_well for check in found) else 503
        if "verbose" not in request.query_params:
            return PlainTextResponse("ok\n" if status == 200 else "not ok\n", status)  # noqa: PLR2004
        checks = [{"name": c.name, "ok": c.is_well, "found": c.found if c.is_well else c.advice} for c in found]
        return JSONResponse({"ok": status == 200, "checks": checks}, status)  # noqa: PLR2004

    return answer


def _asyncapi(topics: Topics) -> Callable[[Request], Response]:
    document = schemas.asyncapi(topics)
    return lambda _: JSONResponse(document)


def _schema(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in schemas.MESSAGES:
        return PlainTextResponse(f"unknown schema: the schemas are {', '.join(schemas.MESSAGES)}\n", 404)
    return JSONResponse(schemas.schema(name), media_type="application/schema+json")


class _SafeHeaders:
    """Middleware that adds headers which forbid scripts, framing and content sniffing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", _CONTENT_SECURITY_POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)
