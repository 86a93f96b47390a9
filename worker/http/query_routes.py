"""Queries over HTTP. Results contain customer data: who may run queries is decided where the routes are served."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from worker.monitoring.worker_report import REPORT_PATH, WorkerReport
from worker.queries.catalogue import QUERIES
from worker.queries.server import QueryFailed, QueryServer


class QueryRoutes:
    """Routes of `/ask/{name}`, and of the worker's report. `headers` identify the store in every response."""

    def __init__(
        self, query_server: QueryServer, report: Callable[[], WorkerReport], headers: Mapping[str, str]
    ) -> None:
        self._query_server = query_server
        self._report = report
        self.headers = headers

    def routes(self, *middleware: Middleware) -> list[BaseRoute]:
        """Return the routes. The middleware protects the queries; the report contains no customer data."""
        return [
            Route(REPORT_PATH, self._worker),
            Mount("/ask", routes=[Route("/{name}", self._ask)], middleware=middleware),
        ]

    def refusal(self, status: int, reason: str, headers: Mapping[str, str]) -> Response:
        """Return the response to a client who may not run queries."""
        return PlainTextResponse(f"{reason}\n", status, headers={**self.headers, **headers})

    async def _worker(self, _: Request) -> Response:
        return self._json(msgspec.json.encode(self._report()))

    async def _ask(self, request: Request) -> Response:
        query = QUERIES.get(request.path_params["name"])
        if query is None:
            return self._text(f"unknown query: the queries are {', '.join(QUERIES)}", 404)
        try:
            parameters = msgspec.json.decode(request.query_params.get("parameters", "{}"), type=query.parameters)
            return self._json(await self._query_server.run(query, parameters))
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            return self._text(f"invalid parameters of {query.name}: {error}", 400)
        except QueryFailed as error:
            return self._text(str(error), 503)

    def _json(self, content: bytes) -> Response:
        return Response(content, media_type="application/json", headers=self.headers)

    def _text(self, sentence: str, status: int) -> Response:
        return PlainTextResponse(f"{sentence}\n", status, headers=self.headers)
