"""The worker's HTTP server on a store in memory, without Kafka."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

from starlette.types import ASGIApp

from worker.http.listening import listen
from worker.http.query_routes import QueryRoutes
from worker.http.server import Server, port_application
from worker.monitoring.worker_report import STORE_HEADER, CheckReport, WorkerReport
from worker.queries.server import QueryServer
from worker.settings import Http, Settings
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.port import StoreLifecycle

REPORT = WorkerReport("1.2.3", datetime(2026, 6, 30, tzinfo=UTC), [CheckReport("store", ok=True, found="fine")], None)


def query_routes(store: StoreLifecycle, identity: str = "mark") -> QueryRoutes:
    """Return the routes of queries on this store."""
    return QueryRoutes(QueryServer(store, Settings()), lambda: REPORT, {STORE_HEADER: identity})


@asynccontextmanager
async def serving(http: Http) -> AsyncIterator[int]:
    """Serve queries as the port does; yields the port."""
    with closing(listen(http)) as listening, closing(DuckDBStore(MEMORY)) as store:
        async with served(port_application(http, query_routes(store)), listening):
            yield listening.getsockname()[1]


@asynccontextmanager
async def served(application: ASGIApp, listening: socket.socket) -> AsyncIterator[Server]:
    """Serve an application on this socket."""
    server = Server(application)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield server
    finally:
        server.should_exit = True
        await task
