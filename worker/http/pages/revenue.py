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
from worker.stores.churn_groups import ChurnGroup


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


def lost_chart(found: Sequence[ChurnGroup] | None, today: date) -> LostChart | None:
    """Return the chart of the days up to `today` from groups by day, None if these were not read yet."""
    if found is None:
        return None
    by_day = {group.key: group for group in found}
    days = [today - timedelta(days=before) for before in reversed(range(LOST_ARR_DAYS))]
    lost = [by_day.get(str(day), ChurnGroup(str(day), 0, Decimal(0), 0)) for day in days]
    drawn, top = bars([float(each.lost_arr) for each in lost])
    return LostChart(
        [
            LostDay(day, bar, each.customers, dollars(each.lost_arr))
            for day, bar, each in zip(days, drawn, lost, strict=True)
        ],
        dollars(_arr(lost)),
        sum(each.customers for each in lost),
        _later([group for group in found if group.key > str(today)]),
        figures.short_dollars(Decimal(top)) if top else "",
        figures.day(days[0]),
        figures.day(days[-1]),
        _label(lost),
    )


def _label(lost: Sequence[ChurnGroup]) -> str:
    label = f"ARR lost per day over the last {len(lost)} days: {dollars(_arr(lost))} in all"
    worst = max(lost, key=lambda group: group.lost_arr)
    return f"{label}, most on {worst.key} with {dollars(worst.lost_arr)}." if worst.lost_arr else f"{label}."


def _later(groups: Sequence[ChurnGroup]) -> str:
    number = sum(group.customers for group in groups)
    customers = "1 customer churns" if number == 1 else f"{number:,} customers churn"
    return f"{customers} after today, with {dollars(_arr(groups))} of ARR." if number else ""


def _arr(groups: Sequence[ChurnGroup]) -> Decimal:
    return sum((group.lost_arr for group in groups), Decimal(0))
