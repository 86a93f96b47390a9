"""`/`: the operations page, the state of the worker at a glance, without customer data."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files

import jinja2

from domain.customer import dollars
from worker.metrics.counters import OUTCOMES, Metrics
from worker.monitoring.checks import Check
from worker.monitoring.gauges import Reading, StoreReading
from worker.monitoring.worker_report import WorkerReport
from worker.settings import Settings

REFRESH_SECONDS = 10
_FILES = files("worker.http.templates")
_STYLE = _FILES.joinpath("operations.css").read_text()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

STYLE_SOURCE = f"'sha256-{_STYLE_HASH}'"
"""The style source that a Content-Security-Policy allows: this page's own style sheet."""


Row = tuple[str, ...]


class OperationsPage:
    """The operations page of one worker."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._template = environment.from_string(_FILES.joinpath("operations.html").read_text())

    def render(self, report: WorkerReport, reading: Reading, *, refreshes: bool = True) -> str:
        """Render the page as HTML; with `refreshes`, the browser reloads it periodically."""
        now = datetime.now(UTC)
        unwell = [check.name for check in reading.checks if not check.is_well]
        return self._template.render(
            style=_STYLE,
            refresh_seconds=REFRESH_SECONDS if refreshes else 0,
            is_well=not unwell,
            unwell=unwell,
            now=_moment(now),
            now_iso=now.isoformat(timespec="seconds"),
            checks=[_check(check) for check in reading.checks],
            waiting=list(_waiting(reading.store, now)),
            outcomes=list(OUTCOMES),
            decisions=list(self._decisions()),
            rejected=self._rejected(),
            revenue=[("ARR lost to churn", dollars(self._metrics.lost_arr))],
            lag_total=f"{sum(reading.lag.values()):,} records",
            partitions=[
                (f"{topic}/{partition}", _offset(reading.positions.get((topic, partition))), f"{lag:,}")
                for (topic, partition), lag in sorted(reading.lag.items())
            ],
            facts=list(self._facts(report, reading.store)),
        )

    def _decisions(self) -> Iterator[Row]:
        decided = self._metrics.decided
        for topic in dict.fromkeys(topic for topic, _ in decided):
            yield topic, *(f"{decided[topic, outcome]:,}" for outcome in OUTCOMES)

    def _rejected(self) -> list[Row]:
        counts = [(str(reason), count) for reason, count in self._metrics.rejected.most_common() if count]
        return [(reason, f"{count:,}") for reason, count in counts or [("none", 0)]]

    def _facts(self, report: WorkerReport, store: StoreReading | None) -> Iterator[Row]:
        yield "version", report.version
        yield "started", _moment(report.started_at)
        yield "group", self._settings.kafka.group_id
        yield "store", self._settings.store.shown
        if store is not None and store.size_bytes is not None:
            yield "store size", f"{store.size_bytes / 1024**2:,.1f} MiB"
        yield "signups with an unknown industry", f"{self._metrics.unknown_industries:,}"
        if (batch := report.last_batch) is not None:
            yield "last batch", f"{batch.records:,} records in {batch.seconds:.3f} s, at {_moment(batch.at)}"


def _offset(position: int | None) -> str:
    return "unknown" if position is None else f"{position:,}"


def _check(check: Check) -> Row:
    return check.name, "✓ ok" if check.is_well else "✗ failed", check.found if check.is_well else check.advice


def _waiting(store: StoreReading | None, now: datetime) -> Iterator[Row]:
    if store is None:
        yield "store", "not readable", "", ""
        return
    waiting, at_stake = store.waiting, store.at_stake
    yield "parked cancellations", f"{waiting.parked:,}", _since(waiting.parked_since, now), ""
    yield "unpublished records in the outbox", f"{waiting.pending:,}", _since(waiting.pending_since, now), ""
    yield (
        "open dead letters",
        f"{at_stake.letters:,}",
        "",
        f"{dollars(at_stake.arr)} of ARR at stake",
    )


def _since(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    seconds = max(0.0, (now - moment).total_seconds())
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
