"""ARR lost per day over the last 30 days, as bars and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from domain.customer import dollars
from worker.http.pages import figures
from worker.http.pages.charts import Bar, bars
from worker.monitoring.gauges import LOST_ARR_DAYS
from worker.stores.churns import LostArr, LostArrByDay


class LostDay(NamedTuple):
    """A day of the chart: its bar, customers and ARR."""

    day: date
    bar: Bar
    customers: int
    arr: str


class LostChart(NamedTuple):
    """The chart: total, number of customers, and what is lost on later days, empty if nothing."""

    days: Sequence[LostDay]
    total: str
    customers: int
    later: str
    top: str
    first: str
    last: str
    label: str


def lost_chart(found: LostArrByDay | None, today: date) -> LostChart | None:
    """Return the chart of the days up to `today`, None if they were not read yet."""
    if found is None:
        return None
    days = [today - timedelta(days=before) for before in reversed(range(LOST_ARR_DAYS))]
    lost = [found.days.get(day, LostArr()) for day in days]
    drawn, top = bars([float(each.arr) for each in lost])
    total = sum(lost, LostArr())
    worst = max(range(len(days)), key=lambda place: lost[place].arr)
    label = f"ARR lost per day over the last {LOST_ARR_DAYS} days: {dollars(total.arr)} in all"
    if total.arr:
        label += f", most on {days[worst]} with {dollars(lost[worst].arr)}"
    return LostChart(
        [
            LostDay(day, bar, each.customers, dollars(each.arr))
            for day, bar, each in zip(days, drawn, lost, strict=True)
        ],
        dollars(total.arr),
        total.customers,
        _later(found.later),
        figures.short_dollars(Decimal(top)) if top else "",
        figures.day(days[0]),
        figures.day(days[-1]),
        f"{label}.",
    )


def _later(lost: LostArr) -> str:
    if not lost.customers:
        return ""
    customers = "1 customer churns" if lost.customers == 1 else f"{lost.customers:,} customers churn"
    return f"{customers} after today, with {dollars(lost.arr)} of ARR."
