"""The report of `customer-worker churn`, printed as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from rich.table import Table

from domain.customer import PlanTier, dollars
from worker.cli.printable import json_line, printable
from worker.cli.shared import console, print_line
from worker.cli.tables import print_table
from worker.queries.churn_groups import ChurnGroupsQuery
from worker.stores.churn_groups import ChurnGroup, GroupBy

MOST_MONTHS = 120
"""Months without a churn are shown between the others, unless the period is longer than this."""
BAR_WIDTH = 30
_MONTHS_OF_A_YEAR = 12


def print_report(query: ChurnGroupsQuery, groups: Sequence[ChurnGroup], *, as_json: bool) -> None:
    """Print the groups and their total."""
    rows = _in_order(query.by, groups)
    if as_json:
        print(json_line(_as_json(query, rows)))
    elif not rows:
        print_line("No churned customers.")
    else:
        print_table(_table(query.by, rows, with_bars=console.is_terminal))


def _in_order(by: GroupBy, groups: Sequence[ChurnGroup]) -> list[ChurnGroup]:
    """Sort months by time, plan tiers by the ladder, industries by the ARR lost."""
    if by is GroupBy.MONTH:
        return _with_empty_months(groups)
    if by is GroupBy.PLAN_TIER:
        return sorted(groups, key=lambda group: PlanTier(group.key))
    return sorted(groups, key=lambda group: (-group.lost_arr, group.key))


def _with_empty_months(groups: Sequence[ChurnGroup]) -> list[ChurnGroup]:
    by_month = {group.key: group for group in groups}
    months = list(_months(groups[0].key, groups[-1].key)) if groups else []
    if len(months) > MOST_MONTHS:
        return list(groups)
    return [by_month.get(month, ChurnGroup(month, 0, Decimal("0.00"), 0)) for month in months]


def _months(first: str, last: str) -> Iterator[str]:
    begin, end = (int(key[:4]) * _MONTHS_OF_A_YEAR + int(key[5:]) - 1 for key in (first, last))
    for number in range(begin, end + 1):
        year, month = divmod(number, _MONTHS_OF_A_YEAR)
        yield f"{year:04}-{month + 1:02}"


def _total(groups: Sequence[ChurnGroup]) -> ChurnGroup:
    return ChurnGroup(
        "total",
        sum(group.customers for group in groups),
        sum((group.lost_arr for group in groups), Decimal("0.00")),
        sum(group.early_stage for group in groups),
    )


def _table(by: GroupBy, groups: Sequence[ChurnGroup], *, with_bars: bool) -> Table:
    table = Table(by.value.replace("_", " "), box=None, pad_edge=False)
    for column in ("customers", "ARR lost", "early stage"):
        table.add_column(column, justify="right")
    table.add_column()
    largest = max(group.lost_arr for group in groups)
    for group in groups:
        table.add_row(*_row(group), _bar(group.lost_arr, largest) if with_bars else "")
    table.add_row(*_row(_total(groups)), style="bold")
    return table


def _row(group: ChurnGroup) -> tuple[str, str, str, str]:
    share = _share(group)
    shown = "-" if share is None else f"{share:.1%}"
    return printable(group.key), f"{group.customers:,}", dollars(group.lost_arr), shown


def _bar(amount: Decimal, largest: Decimal) -> str:
    width = int((amount * BAR_WIDTH / largest).to_integral_value()) if largest else 0
    mark = "█" if console.encoding.startswith("utf") else "#"
    return mark * max(width, 1 if amount else 0)


def _share(group: ChurnGroup) -> float | None:
    return round(group.early_stage / group.customers, 4) if group.customers else None


def _as_json(query: ChurnGroupsQuery, groups: Sequence[ChurnGroup]) -> dict[str, Any]:
    rows = [{query.by.value: group.key, **_figures(group)} for group in groups]
    return {"by": query.by, "from": query.since, "to": query.until, "groups": rows, "total": _figures(_total(groups))}


def _figures(group: ChurnGroup) -> dict[str, Any]:
    return {
        "customers": group.customers,
        "lost_arr": str(group.lost_arr),
        "early_stage": group.early_stage,
        "early_stage_share": _share(group),
    }
