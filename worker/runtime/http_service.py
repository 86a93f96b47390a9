"""HTTP service of a running worker."""

from __future__ import annotations

import asyncio
from datetime import datetime
from socket import socket

import structlog

from worker.addresses import shown_address
from worker.bootstrap import store_identity
from worker.http import server as http
from worker.http.command_socket import CommandSocket
from worker.http.metrics_route import metrics_route
from worker.http.pages.routes import PageRoutes
from worker.http.query_routes import QueryRoutes
from worker.metrics.counters import Metrics
from worker.monitoring.gauges import Gauges
from worker.monitoring.health import Health
from worker.monitoring.history import History
from worker.monitoring.sampler import Sampler
from worker.monitoring.worker_report import STORE_HEADER, WorkerReport
from worker.runtime.components import Components
from worker.settings import Settings

log = structlog.get_logger(__name__)


class HttpService:
    """Health, metrics, the operations page and queries of one worker."""

    def __init__(self, settings: Settings, components: Components, metrics: Metrics, started_at: datetime) -> None:
        self._settings = settings
        self._components = components
        self._health = Health(components.consumer, components.relay, components.store_watch)
        gauges = Gauges(components.consumer, self._health, components.store, settings)
        history = History()
        self._sampler = Sampler(metrics, gauges, components.consumer.applier.recent_batches, history)
        self._started_at = started_at
        identity = {STORE_HEADER: store_identity(settings)}
        self._queries = QueryRoutes(components.query_server, self._report, identity, components.snapshots)
        self._pages = PageRoutes(settings, metrics, gauges, history, self._report, components.query_server)
        self._open = http.open_routes(self._health, settings, metrics_route(metrics, gauges))

    def _report(self) -> WorkerReport:
        return self._health.report(self._started_at)

    async def serve(self) -> None:
        """Serve the port and the command socket until cancelled."""
        serving = [self._sampler.run()]
        if (listening := self._components.socket) is not None:
            serving.append(self._serve(listening))
        if (command_socket := self._components.command_socket) is not None:
            serving.append(self._serve_commands(command_socket))
        try:
            await asyncio.gather(*serving)
        finally:
            await self._pages.close()

    async def _serve(self, listening: socket) -> None:
        host, port = listening.getsockname()[:2]
        log.info("serving", url=f"http://{shown_address(host, port)}")
        application = http.port_application(self._settings.http, self._queries, self._open, self._pages)
        await http.Server(application).serve(sockets=[listening])

    async def _serve_commands(self, command_socket: CommandSocket) -> None:
        log.info("serving commands", socket=str(command_socket.path))
        application = http.command_application(self._settings.http, self._queries, self._open, self._pages)
        await http.Server(application).serve(sockets=[command_socket.socket])
