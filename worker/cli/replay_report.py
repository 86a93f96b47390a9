"""A replay's report on the screen, and as JSON."""

from __future__ import annotations

import json
from itertools import islice

import msgspec
from rich.table import Table

from domain.customer import dollars
from worker.cli.counted import counted
from worker.cli.shared import console
from worker.cli.tables import print_table
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
        print_table(_outcomes(report))
    if report.changes:
        print_table(_customers(report))
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
    return "Dry run: nothing was changed. With --execute:"


def _what_was_read(report: Report) -> str:
    said = [f"{counted(report.read, 'record')} read"]
    if not report.read and not report.interrupted:
        said = ["No record to replay"]
    if report.taken < report.read:
        said[0] += f", {report.taken:,} of them about the customer"
    if report.gone:
        said.append(f"gone from the logs: {counted(report.gone, 'offset')}")
    if report.left:
        said.append(f"beyond the worker's position, and left to the worker: {counted(report.left, 'offset')}")
    return "; ".join(said) + "."


def _outcomes(report: Report) -> Table:
    table = Table("outcome", "records", "")
    for outcome in ("applied", "parked", "duplicate"):
        if count := report.outcomes[outcome]:
            table.add_row(outcome, f"{count:,}", "says nothing new" if outcome == "duplicate" else "")
    for reason, count in sorted(report.rejected.items()):
        table.add_row(f"rejected {reason}", f"{count:,}", "says nothing new: no second dead letter")
    if decided := report.taken - report.outcomes.total():
        table.add_row("given up", f"{decided:,}", "an operator has decided them")
    waited = "cancellations that had waited for a signup"
    for outcome in ("applied", "duplicate"):
        if count := report.unparked[outcome]:
            table.add_row(outcome, f"{count:,}", waited)
    for reason, count in sorted(report.unparked_rejected.items()):
        table.add_row(f"rejected {reason}", f"{count:,}", waited)
    return table


def _customers(report: Report) -> Table:
    table = Table(f"changed: {counted(len(report.changes), 'customer')}", "before", "after")
    for change in islice(report.changes.values(), CUSTOMERS_SHOWN):
        table.add_row(change.customer_id, _state(change.before), _state(change.after))
    return table


def _state(state: CustomerState | None) -> str:
    if state is None:
        return "-"
    churned = f", left {state.churn_date}" if state.churn_date else ""
    return f"{state.plan_tier}, {dollars(state.mrr)} a month{churned}"


def _say_what_goes_out(report: Report) -> None:
    what = f"{counted(report.events, 'event')}, {counted(report.dead_letters, 'dead letter')}"
    waited = f"what had waited in the outbox before: {counted(report.waiting_before, 'record')}"
    if report.emit is Emit.NONE:
        _say(f"Held back, as if published: {what}.")
        if report.waiting_before:
            _say(f"Not held back, {waited}. The worker publishes it as soon as it runs.")
        return
    _say(f"{'Published' if report.waiting_after == 0 else 'To be published'}: {what}.")
    if report.waiting_before:
        _say(f"With them {waited}.")
    if report.waiting_after:
        left = counted(report.waiting_after, "record")
        _say(f"Of all that, not published yet: {left}. The worker does so as soon as it runs.")


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False)
