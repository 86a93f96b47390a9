"""A replay's report on the screen, and as JSON."""

from __future__ import annotations

import json
from itertools import islice

import msgspec
from rich.table import Table

from domain.customer.value_objects import dollars
from worker.commands.shared import console
from worker.replay.report import CustomerState, Emit, Report

CUSTOMERS_SHOWN = 20


def print_report(report: Report, *, as_json: bool) -> None:
    """Everything the report says; of the customers the first 20, as JSON all."""
    if as_json:
        print(json.dumps(_as_json(report)))
        return
    _say(_heading(report))
    _say(_what_was_read(report))
    if report.taken and report.changes_nothing and not report.interrupted:
        _say("Nothing to do: they say nothing that the store does not know.")
    if report.outcomes:
        console.print(_outcomes(report))
    if report.changes:
        console.print(_customers(report))
        if (more := len(report.changes) - CUSTOMERS_SHOWN) > 0:
            _say(f"… and {more:,} more customers (--json has all).")
    _say_what_goes_out(report)
    _say(f"ARR lost: {dollars(report.lost_arr_before)} before, {dollars(report.lost_arr_after)} after.")
    _say(f"It took {report.seconds:,.1f} s.")


def _as_json(report: Report) -> dict[str, object]:
    said = dict(msgspec.to_builtins(report))
    said["changes"] = list(said["changes"].values())
    return said | {"customers_changed": len(report.changes), "gone": report.gone, "left": report.left}


def _heading(report: Report) -> str:
    if report.interrupted:
        done = (
            "what was done is done, and replaying again repeats none of it"
            if report.executed
            else "nothing was changed"
        )
        return f"Interrupted: {done}. Up to there:"
    if report.executed:
        return "Replayed:"
    return "Dry run on a copy of the store: nothing was changed. With --execute:"


def _what_was_read(report: Report) -> str:
    said = [f"{_count(report.read, 'record')} read" if report.read else "No record to replay"]
    if report.taken < report.read:
        said[0] += f", {report.taken:,} of them about the customer"
    if report.gone:
        said.append(f"gone from the logs: {_count(report.gone, 'offset')}")
    if report.left:
        said.append(f"beyond the worker's position, and left to the worker: {_count(report.left, 'offset')}")
    return "; ".join(said) + "."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _outcomes(report: Report) -> Table:
    table = Table("outcome", "records", "")
    for outcome in ("applied", "parked", "duplicate"):
        if count := report.outcomes[outcome]:
            table.add_row(outcome, f"{count:,}", "says nothing new" if outcome == "duplicate" else "")
    for reason, count in sorted(report.rejected.items()):
        table.add_row(f"rejected {reason}", f"{count:,}", "as before: no second dead letter")
    if decided := report.taken - report.outcomes.total():
        table.add_row("given up", f"{decided:,}", "an operator has decided them")
    for outcome, count in sorted(report.unparked.items()):
        table.add_row(outcome, f"{count:,}", "cancellations that were parked")
    return table


def _customers(report: Report) -> Table:
    table = Table(f"changed: {_count(len(report.changes), 'customer')}", "before", "after")
    for change in islice(report.changes.values(), CUSTOMERS_SHOWN):
        table.add_row(change.customer_id, _state(change.before), _state(change.after))
    return table


def _state(state: CustomerState | None) -> str:
    if state is None:
        return "-"
    churned = f", left {state.churn_date}" if state.churn_date else ""
    return f"{state.plan_tier}, {dollars(state.mrr)} a month{churned}"


def _say_what_goes_out(report: Report) -> None:
    what = f"{_count(report.events, 'event')}, {_count(report.dead_letters, 'dead letter')}"
    if report.emit is Emit.NONE:
        _say(f"Held back, as if published: {what}.")
        return
    _say(f"To be published: {what}.")
    if report.waiting_before:
        _say(f"With them what waited in the outbox before: {_count(report.waiting_before, 'record')}.")
    if report.waiting_after:
        _say(f"Not published yet: {_count(report.waiting_after, 'record')}. The worker does so at its next start.")


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False)
