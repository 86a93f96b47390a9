"""The report of a replay, printed as text and as JSON."""

from __future__ import annotations

import json
from itertools import islice

import msgspec
from rich.table import Table

from domain.customer import dollars
from worker.cli.counted import counted
from worker.cli.shared import print_line
from worker.cli.tables import print_table
from worker.replay.report import CustomerState, Emit, Report

MAX_CUSTOMERS = 20


def print_report(report: Report, *, as_json: bool) -> None:
    """Print the report: as text with the first changed customers, as JSON with all."""
    if as_json:
        print(json.dumps(_as_json(report)))
        return
    print_line(_heading(report))
    print_line(_records_read(report))
    if report.taken and report.changes_nothing and not report.interrupted:
        print_line("Nothing to do: the records change nothing in the store.")
    if report.outcomes:
        print_table(_outcomes(report))
    if report.changes:
        print_table(_customers(report))
        if (more := len(report.changes) - MAX_CUSTOMERS) > 0:
            print_line(f"… and {more:,} more customers (--json has all).")
    _print_publishing(report)
    print_line(f"ARR lost: {dollars(report.lost_arr_before)} before, {dollars(report.lost_arr_after)} after.")
    print_line(f"Duration: {report.seconds:,.1f} s.")


def _as_json(report: Report) -> dict[str, object]:
    made = dict(msgspec.to_builtins(report))
    made["changes"] = list(made["changes"].values())
    return made | {"customers_changed": len(report.changes), "gone": report.gone, "left": report.left}


def _heading(report: Report) -> str:
    if report.interrupted:
        done = (
            "committed batches are kept, and another replay does not repeat them"
            if report.executed
            else "nothing was changed"
        )
        return f"Interrupted: {done}. Until then:"
    if report.executed:
        return "Replayed:"
    return "Dry run: nothing was changed. With --execute:"


def _records_read(report: Report) -> str:
    parts = [f"{counted(report.read, 'record')} read"]
    if not report.read and not report.interrupted:
        parts = ["No record to replay"]
    if report.taken < report.read:
        parts[0] += f", {report.taken:,} of them about the customer"
    if report.gone:
        parts.append(f"no longer in the logs: {counted(report.gone, 'offset')}")
    if report.left:
        parts.append(f"after the worker's position, not replayed: {counted(report.left, 'offset')}")
    return "; ".join(parts) + "."


def _outcomes(report: Report) -> Table:
    table = Table("outcome", "records", "")
    for outcome in ("applied", "parked", "duplicate"):
        if count := report.outcomes[outcome]:
            table.add_row(outcome, f"{count:,}", "no effect" if outcome == "duplicate" else "")
    for reason, count in sorted(report.rejected.items()):
        table.add_row(f"rejected {reason}", f"{count:,}", "no effect: no second dead letter")
    if decided := report.taken - report.outcomes.total():
        table.add_row("abandoned", f"{decided:,}", "decided by an operator")
    waited = "parked cancellations"
    for outcome in ("applied", "duplicate"):
        if count := report.unparked[outcome]:
            table.add_row(outcome, f"{count:,}", waited)
    for reason, count in sorted(report.unparked_rejected.items()):
        table.add_row(f"rejected {reason}", f"{count:,}", waited)
    return table


def _customers(report: Report) -> Table:
    table = Table(f"changed: {counted(len(report.changes), 'customer')}", "before", "after")
    for change in islice(report.changes.values(), MAX_CUSTOMERS):
        table.add_row(change.customer_id, _state(change.before), _state(change.after))
    return table


def _state(state: CustomerState | None) -> str:
    if state is None:
        return "-"
    churned = f", churned {state.churn_date}" if state.churn_date else ""
    return f"{state.plan_tier}, {dollars(state.mrr)} per month{churned}"


def _print_publishing(report: Report) -> None:
    what = f"{counted(report.events, 'event')}, {counted(report.dead_letters, 'dead letter')}"
    waited = f"earlier records of the outbox: {counted(report.waiting_before, 'record')}"
    if report.emit is Emit.NONE:
        print_line(f"Not sent, counted as published: {what}.")
        if report.waiting_before:
            print_line(f"Still to be published, {waited}. The next running worker publishes them.")
        return
    print_line(f"{'Published' if report.waiting_after == 0 else 'To be published'}: {what}.")
    if report.waiting_before:
        print_line(f"Together with {waited}.")
    if report.waiting_after:
        left = counted(report.waiting_after, "record")
        print_line(f"Not published yet: {left}. The next running worker publishes them.")
