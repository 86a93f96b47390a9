"""Parked cancellations with their ages, and the commands that make dead letters of old ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.responses import HTMLResponse

from worker.http.pages import commands
from worker.http.pages.asking import ask
from worker.http.pages.frame import Frame
from worker.queries.parked_page import PARKED_PAGE, ParkedPageQuery
from worker.queries.server import QueryServer
from worker.settings import Settings

SHOWN_CUSTOMERS = 100
OLD = "30d"
"""Age of the cancellations that the commands select."""


class ParkedPage:
    """The page of parked cancellations."""

    def __init__(self, settings: Settings, query_server: QueryServer, frame: Frame) -> None:
        self._settings = settings
        self._query_server = query_server
        self._frame = frame

    async def page(self, _: Mapping[str, str]) -> HTMLResponse:
        """Render the customers who have waited longest. Raises `QueryFailed`."""
        found = await ask(self._query_server, PARKED_PAGE, ParkedPageQuery(SHOWN_CUSTOMERS))
        return self._frame.page(
            "parked",
            now=datetime.now(UTC),
            found=found,
            totals=found.parked.totals,
            customers=found.parked.customers,
            commands=commands.of_parked(OLD),
            is_duckdb=not self._settings.store.is_postgres,
        )
