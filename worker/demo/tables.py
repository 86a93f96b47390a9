"""Tables of the demo, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich import box
from rich.table import Table

from worker.demo.cast import NAMES, Company
from worker.demo.ledger import fields_of, header_of
from worker.demo.story import Line
from worker.demo.traffic import Seen
from worker.demo.verify import Verdict


def dollars(amount: Decimal) -> str:
    """Format an amount, such as `$5,988.00`."""
    return f"${amount:,.2f}"


def signups(companies: Sequence[Company]) -> Table:
    """Return the signups."""
    table = _table("company", "industry", "plan", ">MRR")
    for company in companies:
        table.add_row(company.name, company.industry, company.plan, dollars(Decimal(company.mrr)))
    return table


def events(seen: Sequence[Seen]) -> Table:
    """Return the `customer.churned` events by date, as partitions have no common order."""
    table = _table("customer.churned", "churned on", ">days", "reason", ">ARR lost")
    for fields in sorted(map(fields_of, seen), key=lambda fields: str(fields["churn_date"])):
        name = NAMES.get(fields["customer_id"], fields["customer_id"])
        days, reason = str(fields["tenure_days"]), fields["reason"] or "-"
        lost = f"[red]{dollars(Decimal(fields['lost_arr']['amount']))}[/]"
        table.add_row(name, fields["churn_date"], days, reason, lost)
    return table


def refusals(lines: Sequence[Line], dead_letters: Sequence[Seen]) -> Table:
    """Return the rejected records with the messages of their dead letters."""
    messages = {header_of(letter, "reason"): header_of(letter, "message") for letter in dead_letters}
    table = _table("record", "reason", "message")
    for line in lines:
        table.add_row(line.label, f"[yellow]{line.reason}[/]", messages.get(line.reason or "", "-"))
    return table


def verdict(verdict: Verdict) -> Table:
    """Return the counts side by side."""
    table = _table("", ">sent", ">on the topics", ">in the file", "")
    for row in verdict.rows:
        label = "[green]equal[/]" if row.is_well else "[bold red]DIFFERS[/]"
        table.add_row(row.what, *(_shown(count) for count in (row.sent, row.topics, row.file)), label)
    return table


def _table(*columns: str) -> Table:
    """Build a table. A column that begins with `>` is aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left", no_wrap=column != "message"
        )
    return table


def _shown(count: int | Decimal | None) -> str:
    if count is None:
        return "-"
    return dollars(count) if isinstance(count, Decimal) else f"{count:,}"
