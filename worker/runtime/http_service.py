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
from worker.http.operations_page import OperationsPage
from worker.http.operations_routes import OperationsRoutes
from worker.http.query_routes import QueryRoutes
from worker.metrics.counters import Metrics
from worker.monitoring.gauges import Gauges
from worker.monitoring.health import Health
from worker.monitoring.worker_report import STORE_HEADER
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
        page = OperationsPage(settings, metrics)
        self._operations = OperationsRoutes(metrics, gauges, page, lambda: self._health.report(started_at))
        identity = {STORE_HEADER: store_identity(settings)}
        self._queries = QueryRoutes(
            components.query_server, lambda: self._health.report(started_at), identity, components.snapshots
        )

    async def serve(self) -> None:
        """Serve the port and the command socket until cancelled."""
        serving = []
        if (listening := self._components.socket) is not None:
            serving.append(self._serve(listening))
        if (command_socket := self._components.command_socket) is not None:
            serving.append(self._serve_commands(command_socket))
        await asyncio.gather(*serving)

    async def _serve(self, listening: socket) -> None:
        host, port = listening.getsockname()[:2]
        log.info("serving", url=f"http://{shown_address(host, port)}")
        application = http.application(self._health, self._settings, self._queries, self._operations)
        await http.Server(application).serve(sockets=[listening])

    async def _serve_commands(self, command_socket: CommandSocket) -> None:
        log.info("serving commands", socket=str(command_socket.path))
        await http.Server(http.command_application(self._queries)).serve(sockets=[command_socket.socket])
