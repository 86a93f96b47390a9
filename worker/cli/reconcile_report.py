"""The report of a reconciliation, printed as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table

from domain.customer import dollars
from worker.cli.shared import print_line
from worker.cli.tables import print_table
from worker.reconcile.report import DayTotals, Difference, Report
from worker.stores.churns import Churn, Sum

MAX_ROWS = 20
"""Maximum number of days, differences and other findings that are printed one by one."""


def print_report(report: Report, *, every_day: bool, as_json: bool) -> None:
    """Print the days and the differences: as text the first of them, as JSON all."""
    if as_json:
        print(json.dumps(_as_json(report)))
        return
    if not report.days and not report.unrecognised and not report.tombstones:
        print_line("No churned customers.")
        return
    print_table(_days(report, every_day=every_day))
    _print_differences(report)
    _print_end(report)


def _days(report: Report, *, every_day: bool) -> Table:
    table = Table("day", box=None)
    for column in (
        *("customers", "events", "on the topic", "erased", "pending"),
        *("ARR of customers", "of events", "on the topic"),
    ):
        table.add_column(column, justify="right")
    table.add_column("")
    shown = {day: of for day, of in report.days.items() if every_day or not of.are_equal or of.pending.count}
    for day in list(shown)[: None if every_day else MAX_ROWS]:
        table.add_row(*_row(str(day), shown[day]))
    if len(shown) > MAX_ROWS and not every_day:
        table.add_row(f"… {len(shown) - MAX_ROWS:,} more (--days)")
    table.add_row(*_row(f"{len(report.days):,} days", report.total), style="bold")
    return table


def _print_differences(report: Report) -> None:
    for difference in report.differences[:MAX_ROWS]:
        print_line(f"{difference.customer_id}: {difference.what} ({_compared(difference)})")
    if len(report.differences) > MAX_ROWS:
        print_line(f"… and {len(report.differences) - MAX_ROWS:,} more (--json has all)")
    for coordinates in report.unrecognised[:MAX_ROWS]:
        print_line(f"{coordinates}: no churned event, and no tombstone keyed by a customer id in lower case")
    for each in report.ineffective[:MAX_ROWS]:
        print_line(f"{each.tombstone}: tombstone without effect, its customer's event stands at {each.event}")
    if len(report.unrecognised) > MAX_ROWS:
        print_line(f"… and {len(report.unrecognised) - MAX_ROWS:,} more records that are no churned events")


def _print_end(report: Report) -> None:
    if report.receipts:
        print_line(
            f"The store is being rebuilt: {report.receipts:,} events on the topic have no customer in the store yet. "
            "Reconcile again once the lag is 0."
        )
    if report.read_before:
        print_line(
            f"{report.read_before:,} events on the topic were read by an earlier run and are unchanged: only later "
            "records were read (--full reads all)."
        )
    if report.tombstones:
        print_line(
            f"{report.tombstones:,} customers have a tombstone on the topic: an event that it erased is no difference."
        )
    differences = len(report.differences) + len(report.unrecognised) + len(report.ineffective)
    print_line("Equal." if report.is_clean else f"{differences:,} differences.")


def _row(name: str, of: DayTotals) -> list[str]:
    return [
        name,
        f"{of.customers.count:,}",
        f"{of.events.count:,}",
        f"{of.topic.count:,}",
        f"{of.erased.count:,}" if of.erased.count else "",
        f"{of.pending.count:,}" if of.pending.count else "",
        dollars(of.customers.lost_arr),
        dollars(of.events.lost_arr),
        dollars(of.topic.lost_arr),
        "equal" if of.are_equal else "DIFFERENT",
    ]


def _compared(difference: Difference) -> str:
    records = [
        ("customer", [difference.customer] if difference.customer else []),
        ("outbox", [difference.event] if difference.event else []),
        ("topic", difference.topic),
    ]
    return ", ".join(f"{source} {_churns(churns)}" for source, churns in records)


def _churns(churns: Sequence[Churn]) -> str:
    return " and ".join(f"{churn.day} {dollars(churn.lost_arr)}" for churn in churns) or "none"


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "equal": report.is_clean,
        "total": _totals_as_json(report.total),
        "days": [{"day": str(day), **_totals_as_json(totals)} for day, totals in report.days.items()],
        "differences": [_difference_as_json(difference) for difference in report.differences],
        "no_events": report.unrecognised,
        "tombstones": report.tombstones,
        "ineffective_tombstones": msgspec.to_builtins(report.ineffective),
        "receipts_without_customer": report.receipts,
        "read_before": report.read_before,
    }


def _totals_as_json(of: DayTotals) -> dict[str, Any]:
    totals = {
        "customers": of.customers,
        "events": of.events,
        "topic": of.topic,
        "erased": of.erased,
        "pending": of.pending,
    }
    return {**{name: _sum_as_json(each) for name, each in totals.items()}, "equal": of.are_equal}


def _sum_as_json(of: Sum) -> dict[str, Any]:
    return {"count": of.count, "lost_arr": str(of.lost_arr)}


def _difference_as_json(difference: Difference) -> dict[str, Any]:
    return {
        "customer_id": difference.customer_id,
        "what": difference.what,
        "customer": _churn_as_json(difference.customer),
        "event": _churn_as_json(difference.event),
        "topic": [_churn_as_json(churn) for churn in difference.topic],
    }


def _churn_as_json(churn: Churn | None) -> dict[str, str] | None:
    return None if churn is None else {"day": str(churn.day), "lost_arr": str(churn.lost_arr)}
