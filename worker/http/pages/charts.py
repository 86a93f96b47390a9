"""Charts as geometry of SVG: paths of lines and bars in a box, scaled by the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from worker.monitoring.history import EVERY_SECONDS, KEPT_SECONDS

WIDTH, HEIGHT = 300, 60
_GAP_SECONDS = 3 * EVERY_SECONDS
_STEPS = (1, 2, 2.5, 5, 10)

Series = Sequence[tuple[float, float | None]]
"""Values by time in seconds since 1970, None where there is none."""


class Lines(NamedTuple):
    """Lines over the last 15 minutes: `paths` of the series, the `area` below the first, and the `top` of the scale."""

    paths: Sequence[str]
    area: str
    top: float


class Bar(NamedTuple):
    """A bar of a chart, from its left edge and its top downwards."""

    x: float
    y: float
    width: float
    height: float


def lines(series: Sequence[Series], now: float, lowest_top: float) -> Lines:
    """Draw each series; the scale reaches from 0 to a round number, at least `lowest_top`."""
    highest = max((value for each in series for _, value in each if value is not None), default=0.0)
    top = round_up(max(highest, lowest_top))
    drawn = [list(_segments(each, now, top)) for each in series]
    paths = ["".join(map(_line, segments)) for segments in drawn]
    return Lines(paths, "".join(map(_area, drawn[0])), top)


def bars(values: Sequence[float]) -> tuple[list[Bar], float]:
    """Draw bars side by side. Returns them and the top of the scale."""
    top = round_up(max(values, default=0.0))
    step = WIDTH / max(1, len(values))
    found = []
    for number, value in enumerate(values):
        height = 0.0 if not top or value <= 0 else max(1.0, value / top * HEIGHT)
        found.append(Bar(round(number * step + step * 0.1, 1), round(HEIGHT - height, 1), step * 0.8, round(height, 1)))
    return found, top


def round_up(value: float) -> float:
    """Return the next round number: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9))


def _segments(series: Series, now: float, top: float) -> Iterator[list[tuple[float, float]]]:
    """Yield the points of each part without a gap."""
    segment: list[tuple[float, float]] = []
    before = 0.0
    for at, value in series:
        if segment and (value is None or at - before > _GAP_SECONDS):
            yield segment
            segment = []
        if value is not None and (x := WIDTH * (1 - (now - at) / KEPT_SECONDS)) >= 0:
            segment.append((x, HEIGHT * (1 - min(1.0, value / top))))
        before = at
    if segment:
        yield segment


def _line(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:  # a dot
        return f"M{points[0][0]:.1f} {points[0][1]:.1f}h.1"
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _area(points: Sequence[tuple[float, float]]) -> str:
    return f"{_line(points)}V{HEIGHT}H{points[0][0]:.1f}Z" if len(points) > 1 else ""
