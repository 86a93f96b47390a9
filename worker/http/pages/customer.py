"""One customer: the history that `customer-worker explain` shows, as a timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from starlette.responses import HTMLResponse

from worker.errors import Refusal
from worker.http.pages.asking import ask, customer_id
from worker.http.pages.frame import Frame
from worker.logs.exceptions import described
from worker.queries.catalogue import HISTORY
from worker.queries.explain import CustomerHistory, ExplainQuery
from worker.queries.server import QueryServer
from worker.queries.topic_lookup import look_up_records
from worker.settings import Settings
from worker.stores.changes import RecordCoordinates
from worker.text.printable import pretty

log = structlog.get_logger(__name__)

MAX_VALUE_BYTES = 2_000
MAX_STEPS = 200
"""Decisions that are shown, at most: the last ones."""
LOOKUP_SECONDS = 10.0


class CustomerPage:
    """The page of a customer."""

    def __init__(self, settings: Settings, query_server: QueryServer, frame: Frame) -> None:
        self._settings = settings
        self._query_server = query_server
        self._frame = frame
        self._looking_up = asyncio.Lock()

    async def page(self, parameters: Mapping[str, str]) -> HTMLResponse:
        """Render the customer of the parameters, or a search form. Raises `BadRequest` and `QueryFailed`."""
        if not parameters.get("id", "").strip():
            return self._frame.page("customer-search")
        wanted = customer_id(parameters["id"])
        history = await ask(self._query_server, HISTORY, ExplainQuery(wanted))
        records: dict[RecordCoordinates, str] = {}
        problem = ""
        if parameters.get("records") == "read":
            records, problem = await self._records(history)
        return self._frame.page(
            "customer",
            status=404 if history.is_empty else 200,
            now=datetime.now(UTC),
            history=history,
            steps=history.steps[-MAX_STEPS:],
            left_out=max(0, len(history.steps) - MAX_STEPS),
            records=records,
            problem=problem,
        )

    async def _records(self, history: CustomerHistory) -> tuple[dict[RecordCoordinates, str], str]:
        """Read the records from their topics. Returns them as text, and the reason if Kafka cannot be read."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS), self._looking_up:
                found = await look_up_records(self._settings, history)
        except (Refusal, OSError, TimeoutError) as error:
            log.debug("records not read", error=described(error))
            words = str(error) if isinstance(error, Refusal) else f"no answer within {LOOKUP_SECONDS:.0f} s"
            return {}, f"The records cannot be read: {words}"
        return {
            at: f"({each.note})" if each.value is None else pretty(each.value[:MAX_VALUE_BYTES])[1]
            for at, each in found.items()
        }, ""
