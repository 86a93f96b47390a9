"""HTTP service of a running worker."""

from __future__ import annotations

from datetime import datetime
from socket import socket

import structlog

from worker.addresses import shown_address
from worker.bootstrap import store_identity
from worker.http import server as http
from worker.http.operations_page import OperationsPage
from worker.http.operations_routes import OperationsRoutes
from worker.http.query_routes import QueryRoutes
from worker.metrics.counters import Metrics
from worker.monitoring.gauges import Gauges
from worker.monitoring.health import Health
from worker.runtime.components import Components
from worker.settings import Settings

log = structlog.get_logger(__name__)


async def serve(
    listening: socket, settings: Settings, components: Components, metrics: Metrics, started_at: datetime
) -> None:
    """Serve health, metrics, the operations page and queries until cancelled."""
    host, port = listening.getsockname()[:2]
    log.info("serving", url=f"http://{shown_address(host, port)}")
    health = Health(components.consumer, components.relay, components.store_watch)
    gauges = Gauges(components.consumer, health, components.store, settings)
    operations = OperationsRoutes(metrics, gauges, OperationsPage(settings, metrics), lambda: health.report(started_at))
    queries = QueryRoutes(
        components.query_server, lambda: health.report(started_at), store_identity(settings), settings.http.host
    )
    application = http.application(health, settings, queries, operations)
    await http.Server(application).serve(sockets=[listening])
