"""The last 15 minutes as charts, and as a table by minute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from worker.http.pages import figures
from worker.http.pages.charts import Series, lines
from worker.monitoring.history import KEPT_SECONDS, History, Point, Span, span

MINUTE = 60.0
NONE = "—"

Pair = Callable[[Span], tuple[float, float] | None]


class Headline(NamedTuple):
    """A current value: its `name` is empty if the chart has one line only."""

    name: str
    value: str
    unit: str


class Chart(NamedTuple):
    """A chart: its title, current values, geometry, top of the scale, and a description for screen readers."""

    title: str
    note: str
    headlines: Sequence[Headline]
    paths: Sequence[str]
    area: str
    top: str
    label: str


class Minute(NamedTuple):
    """A row of the table; each cell is text."""

    time: str
    cells: Sequence[str]


def recent_charts(history: History, now: float) -> list[Chart]:
    """Return the charts of the last 15 minutes."""
    points = history.since(now - KEPT_SECONDS)
    spans = [found for point in points if (found := span([point]))]
    minute = span(history.since(now - MINUTE))
    whole = span(points)
    return [
        _rate_chart("Records read", spans, lambda each: each.records, minute, now),
        _rate_chart("Events published", spans, lambda each: each.events, minute, now),
        _lag_chart(spans, now),
        _pair_chart("Batch time", spans, lambda each: each.batch, whole, now),
        _pair_chart("Record to event", spans, lambda each: each.latency, whole, now),
    ]


def minutes(history: History, now: float) -> list[Minute]:
    """Return the figures of the charts by minute, the last one first."""
    by_minute: dict[int, list[Point]] = {}
    for point in history.since(now - KEPT_SECONDS):
        by_minute.setdefault(int(point.at // MINUTE), []).append(point)
    found = [(number, span(points)) for number, points in sorted(by_minute.items(), reverse=True)]
    return [
        Minute(f"{datetime.fromtimestamp(number * MINUTE, UTC):%H:%M}", _cells(each))
        for number, each in found
        if each is not None
    ]


def _cells(of: Span) -> list[str]:
    lag = NONE if of.lag is None else figures.count(of.lag)
    return [figures.count(of.records), figures.count(of.events), lag, *_pair(of.batch), *_pair(of.latency)]


def _pair(pair: tuple[float, float] | None) -> tuple[str, str]:
    return (NONE, NONE) if pair is None else (figures.duration(pair[0]), figures.duration(pair[1]))


def _rate_chart(
    title: str, spans: Sequence[Span], value: Callable[[Span], float], minute: Span | None, now: float
) -> Chart:
    series: Series = [(each.at, value(each)) for each in spans]
    drawn = lines([series], now, 1.0)
    current = figures.count(value(minute)) if minute else NONE
    highest = figures.count(max((value(each) for each in spans), default=0.0))
    label = f"{title}, per second: {current} in the last minute; the highest of the last 15 minutes is {highest}."
    headline = Headline("", current, "/s" if minute else "")
    return Chart(title, "last minute", [headline], drawn.paths, drawn.area, f"{figures.short(drawn.top)}/s", label)


def _lag_chart(spans: Sequence[Span], now: float) -> Chart:
    drawn = lines([[(each.at, each.lag) for each in spans]], now, 10.0)
    current = NONE if not spans or spans[-1].lag is None else figures.count(spans[-1].lag)
    highest = figures.count(max((each.lag for each in spans if each.lag is not None), default=0))
    label = f"Lag in records: {current} now; the highest of the last 15 minutes is {highest}."
    headline = Headline("", "unknown" if current == NONE and spans else current, "")
    return Chart("Lag", "now", [headline], drawn.paths, drawn.area, figures.short(drawn.top), label)


def _pair_chart(title: str, spans: Sequence[Span], value: Pair, whole: Span | None, now: float) -> Chart:
    pairs = [(each.at, value(each)) for each in spans]
    series: list[Series] = [[(at, pair and pair[place]) for at, pair in pairs] for place in (0, 1)]
    drawn = lines(series, now, 0.01)
    current = _pair(value(whole) if whole else None)
    label = f"{title}: median {current[0]}, 99th percentile {current[1]} over the last 15 minutes."
    headlines = [Headline("p50", current[0], ""), Headline("p99", current[1], "")]
    return Chart(title, "15 minutes", headlines, drawn.paths, drawn.area, figures.duration(drawn.top), label)
