"""Reconciliation by day: customers, events in the outbox and events on the topic, differences first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, RedirectResponse, Response

from worker.http.pages import commands
from worker.http.pages.asking import BadRequest
from worker.http.pages.frame import Frame
from worker.http.pages.reconcile_run import Day, ReconcileRuns

SHOWN_DAYS = 60
SHOWN_DIFFERENCES = 200
REFRESH_SECONDS = 2


class ReconcilePage:
    """The page of the reconciliation."""

    def __init__(self, frame: Frame, runs: ReconcileRuns) -> None:
        self._frame = frame
        self._runs = runs

    async def start(self, parameters: Mapping[str, str]) -> Response:
        """Start a comparison of the days of the parameters, and go to the page. Raises `BadRequest`."""
        since, until = _day(parameters, "from"), _day(parameters, "to")
        if since and until and since > until:
            raise BadRequest("from is after to")
        self._runs.start(since, until)
        query = urlencode({name: day for name, day in (("from", since), ("to", until)) if day})
        return RedirectResponse(f"reconcile?{query}" if query else "reconcile", 303)

    async def page(self, parameters: Mapping[str, str]) -> HTMLResponse:
        """Render the last comparison, and the one in progress. Raises `BadRequest`."""
        since, until = _day(parameters, "from"), _day(parameters, "to")
        running, last = self._runs.running_seconds, self._runs.last
        report = last.report if last else None
        days = _differences_first(report.days) if report else []
        return self._frame.page(
            "reconcile",
            refresh_seconds=REFRESH_SECONDS if running is not None else 0,
            now=datetime.now(UTC),
            since=since,
            until=until,
            command=commands.reconcile(since, until),
            running=running,
            last=last,
            report=report,
            days=days[:SHOWN_DAYS],
            days_left=max(0, len(days) - SHOWN_DAYS),
            differences=report.differences[:SHOWN_DIFFERENCES] if report else [],
            differences_left=max(0, len(report.differences) - SHOWN_DIFFERENCES) if report else 0,
            others=len(report.no_events) + len(report.ineffective_tombstones) if report else 0,
        )


def _differences_first(days: list[Day]) -> list[Day]:
    """Return the days that differ, then those with unpublished events, then the others; of each the latest first."""
    latest = sorted(days, key=lambda day: day.day, reverse=True)
    return sorted(latest, key=lambda day: (day.equal, not day.pending.count))


def _day(parameters: Mapping[str, str], name: str) -> str:
    text = parameters.get(name, "")
    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise BadRequest(f"{name} is a day: YYYY-MM-DD") from None
