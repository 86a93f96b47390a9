"""Bounded history of one worker in memory: a point every few seconds, made of counters that exist anyway."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from worker.metrics.event_ages import SECONDS as AGE_LIMITS

EVERY_SECONDS = 5.0
KEPT_SECONDS = 900.0
MAX_POINTS = int(KEPT_SECONDS / EVERY_SECONDS)
TREND_SECONDS = 60.0
SHORTEST_TREND_SECONDS = 10.0


class Counters(NamedTuple):
    """Counters since the start: records committed, and events published by age (as `EventAges.counts`)."""

    records: int
    event_ages: Sequence[int]


class Point(NamedTuple):
    """The time from the point before until `at`, in seconds since 1970.

    `lag` is None if it was unknown; `batch_seconds` has the durations of the batches.
    """

    at: float
    seconds: float
    records: int
    event_ages: Sequence[int]
    lag: int | None
    batch_seconds: Sequence[float]

    @property
    def events(self) -> int:
        """Number of events published."""
        return sum(self.event_ages)


class Span(NamedTuple):
    """Several points in one. Rates are per second, the others in seconds; None without an observation.

    `lag` is that of the last point that has one.
    """

    at: float
    records: float
    events: float
    lag: int | None
    batch: tuple[float, float] | None
    latency: tuple[float, float] | None


class Trend(NamedTuple):
    """Change over the last minute, in records per second: `read` by this worker, and `growth` of the lag."""

    read: float
    growth: float


class History:
    """The points of the last 15 minutes."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=MAX_POINTS)
        self._before: tuple[float, Counters] | None = None

    def add(self, at: float, counters: Counters, lag: int | None, batch_seconds: Iterable[float]) -> None:
        """Add a point; the first call only notes the counters."""
        before, self._before = self._before, (at, counters)
        if before is None or at <= before[0]:  # the clock was set back
            return
        ages = [now - then for now, then in zip(counters.event_ages, before[1].event_ages, strict=True)]
        seconds, records = at - before[0], counters.records - before[1].records
        self.points.append(Point(at, seconds, records, array("q", ages), lag, array("f", batch_seconds)))

    def since(self, at: float) -> list[Point]:
        """Return the points after this time."""
        return [point for point in self.points if point.at > at]

    def trend(self) -> Trend | None:
        """Return the trend of the last minute, None until it is known."""
        if not self.points:
            return None
        points = [point for point in self.since(self.points[-1].at - TREND_SECONDS) if point.lag is not None]
        if not points or points[-1].at - points[0].at < SHORTEST_TREND_SECONDS:
            return None
        seconds = points[-1].at - points[0].at
        first, last = points[0].lag or 0, points[-1].lag or 0
        return Trend(sum(point.records for point in points[1:]) / seconds, (last - first) / seconds)


def span(points: Sequence[Point]) -> Span | None:
    """Combine points, None if there are none."""
    if not points:
        return None
    seconds = sum(point.seconds for point in points)
    durations = sorted(duration for point in points for duration in point.batch_seconds)
    ages = [sum(counts) for counts in zip(*(point.event_ages for point in points), strict=True)]
    return Span(
        points[-1].at,
        sum(point.records for point in points) / seconds,
        sum(ages) / seconds,
        next((point.lag for point in reversed(points) if point.lag is not None), None),
        (_nearest(durations, 0.5), _nearest(durations, 0.99)) if durations else None,
        (age_quantile(ages, 0.5), age_quantile(ages, 0.99)) if any(ages) else None,
    )


def _nearest(ordered: Sequence[float], quantile: float) -> float:
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


def age_quantile(counts: Sequence[int], quantile: float) -> float:
    """Estimate a quantile of the ages of events, linearly within a bucket; for the oldest bucket, its lower limit."""
    rank, below, lower = quantile * sum(counts), 0, 0.0
    for count, upper in zip(counts, AGE_LIMITS, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below, lower = below + count, upper
    return lower
