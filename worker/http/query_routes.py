"""Queries over HTTP. Results contain customer data: who may run queries is decided where the routes are served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from worker.monitoring.worker_report import REPORT_PATH, WorkerReport
from worker.queries.catalogue import QUERIES
from worker.queries.server import QueryFailed, QueryServer
from worker.queries.snapshot import SnapshotQuery
from worker.queries.snapshot_server import Snapshot, SnapshotServer

P = TypeVar("P", bound=msgspec.Struct)


class QueryRoutes:
    """Routes of `/ask/{name}`, and of the worker's report. `headers` identify the store in every response.

    Without `snapshots`, whole tables are not served: with PostgreSQL, commands read them from the database.
    """

    def __init__(
        self,
        query_server: QueryServer,
        report: Callable[[], WorkerReport],
        headers: Mapping[str, str],
        snapshots: SnapshotServer | None = None,
    ) -> None:
        self._query_server = query_server
        self._report = report
        self._snapshots = snapshots
        self.headers = headers

    def routes(self, *middleware: Middleware) -> list[BaseRoute]:
        """Return the routes. The middleware protects the queries; the report contains no customer data."""
        return [
            Route(REPORT_PATH, self._worker),
            Mount("/ask", routes=self._queries(), middleware=middleware),
        ]

    def _queries(self) -> list[BaseRoute]:
        by_name = Route("/{name}", self._ask)
        return [by_name] if self._snapshots is None else [Route("/snapshot", self._snapshot), by_name]

    async def _worker(self, _: Request) -> Response:
        return self._json(msgspec.json.encode(self._report()))

    async def _ask(self, request: Request) -> Response:
        query = QUERIES.get(request.path_params["name"])
        if query is None:
            return self._text(f"unknown query: the queries are {', '.join(QUERIES)}", 404)
        try:
            parameters = _parameters(request, query.parameters)
            return self._json(await self._query_server.run(query, parameters))
        except _InvalidParameters as error:
            return self._text(f"invalid parameters of {query.name}: {error}", 400)
        except QueryFailed as error:
            return self._text(str(error), 503)

    async def _snapshot(self, request: Request) -> Response:
        assert self._snapshots is not None  # noqa: S101 - else there is no route
        try:
            snapshot = await self._snapshots.open(_parameters(request, SnapshotQuery))
        except _InvalidParameters as error:
            return self._text(f"invalid parameters of snapshot: {error}", 400)
        except QueryFailed as error:
            return self._text(str(error), 503)
        return _SnapshotResponse(snapshot, self.headers)

    def _json(self, content: bytes) -> Response:
        return Response(content, media_type="application/json", headers=self.headers)

    def _text(self, sentence: str, status: int) -> Response:
        return PlainTextResponse(f"{sentence}\n", status, headers=self.headers)


class _SnapshotResponse(StreamingResponse):
    """A snapshot, closed after the response, however that ends."""

    def __init__(self, snapshot: Snapshot, headers: Mapping[str, str]) -> None:
        super().__init__(
            snapshot.parts(),
            headers=headers,
            media_type="application/vnd.apache.arrow.stream",
        )
        self._snapshot = snapshot

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._snapshot.close()


class _InvalidParameters(Exception):
    """Parameters of a query that cannot be decoded; the message has the reason."""


def _parameters(request: Request, kind: type[P]) -> P:
    try:
        return msgspec.json.decode(request.query_params.get("parameters", "{}"), type=kind)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise _InvalidParameters(str(error)) from None
