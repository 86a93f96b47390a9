"""`/metrics` for Prometheus and `/`, the operations page: the same numbers, read per request, without customer data."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from worker.http.operations_page import OperationsPage
from worker.metrics.counters import Metrics
from worker.monitoring.exposition import exposition
from worker.monitoring.gauges import Gauges
from worker.monitoring.worker_report import WorkerReport


class OperationsRoutes:
    """Routes of the metrics and the operations page."""

    def __init__(
        self, metrics: Metrics, gauges: Gauges, page: OperationsPage, report: Callable[[], WorkerReport]
    ) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._page = page
        self._report = report

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/", self._operations), Route("/metrics", self._exposed)]

    async def _operations(self, request: Request) -> Response:
        refreshes = request.query_params.get("refresh") != "off"
        page = self._page.render(self._report(), await self._gauges.read(), refreshes=refreshes)
        return HTMLResponse(page)

    async def _exposed(self, request: Request) -> Response:
        content, content_type = exposition(self._metrics, await self._gauges.read(), request.headers.get("accept", ""))
        return Response(content, headers={"content-type": content_type})
