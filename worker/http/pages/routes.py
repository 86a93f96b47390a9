"""Routes of the pages for operators: those without customer data, and the others, which a middleware protects."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker.http.pages.contract import ContractPage
from worker.http.pages.customer_data import CustomerDataPages
from worker.http.pages.frame import Frame
from worker.http.pages.icons import icon
from worker.http.pages.overview import Overview
from worker.metrics.counters import Metrics
from worker.monitoring.gauges import Gauges
from worker.monitoring.history import History
from worker.monitoring.worker_report import WorkerReport
from worker.queries.server import QueryServer
from worker.settings import Settings


class PageRoutes:
    """Routes of the pages of one worker."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        gauges: Gauges,
        history: History,
        report: Callable[[], WorkerReport],
        query_server: QueryServer,
    ) -> None:
        self._frame = frame = Frame(settings, gauges)
        self._overview = Overview(settings, metrics, gauges, history, report, frame)
        self._contract = ContractPage(settings, frame)
        self._customer_data = CustomerDataPages(settings, query_server, frame)

    def routes(self, *middleware: Middleware) -> list[BaseRoute]:
        """Return the routes. The middleware protects the pages with customer data."""
        return [
            Route("/", self._show_overview),
            Route("/contract", self._show_contract),
            Route("/icon-{name}.svg", icon),
            *self._customer_data.routes(*middleware),
        ]

    def refusal(self, status: int, reason: str, headers: Mapping[str, str]) -> Response:
        """Return the page for a client who may not see a page."""
        return self._frame.page(
            "problem",
            status=status,
            response_headers=headers,
            title="Customer data is not shown",
            reason=reason,
            advice='See "Access over HTTP" in docs/operating.md.',
        )

    async def close(self) -> None:
        """End what runs for a page."""
        await self._customer_data.close()

    async def _show_overview(self, request: Request) -> Response:
        return await self._overview.page(refreshes=request.query_params.get("refresh") != "off")

    async def _show_contract(self, _: Request) -> Response:
        return self._contract.page()
