"""The demo's tables. They fit into 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich import box
from rich.table import Table

from worker.demo.cast import NAMES, Company
from worker.demo.ledger import fields_of, told
from worker.demo.story import Line
from worker.demo.traffic import Seen
from worker.demo.verify import Verdict


def dollars(amount: Decimal) -> str:
    """`$5,988.00`."""
    return f"${amount:,.2f}"


def signups(companies: Sequence[Company]) -> Table:
    """Who signs up."""
    table = _table("company", "industry", "plan", ">MRR")
    for company in companies:
        table.add_row(company.name, company.industry, company.plan, dollars(Decimal(company.mrr)))
    return table


def events(seen: Sequence[Seen]) -> Table:
    """`customer.churned` events as read from the topic, by their dates: several partitions have no order among them."""
    table = _table("customer.churned", "left on", ">days", "reason", ">ARR lost")
    for fields in sorted(map(fields_of, seen), key=lambda fields: str(fields["churn_date"])):
        name = NAMES.get(fields["customer_id"], fields["customer_id"])
        days, reason = str(fields["tenure_days"]), fields["reason"] or "-"
        lost = f"[red]{dollars(Decimal(fields['lost_arr']['amount']))}[/]"
        table.add_row(name, fields["churn_date"], days, reason, lost)
    return table


def refusals(lines: Sequence[Line], dead_letters: Sequence[Seen]) -> Table:
    """What was refused, and why, as the dead letters tell it."""
    messages = {told(letter, "reason"): told(letter, "message") for letter in dead_letters}
    table = _table("what came", "refused as", "because")
    for line in lines:
        table.add_row(line.told, f"[yellow]{line.reason}[/]", messages.get(line.reason or "", "-"))
    return table


def verdict(verdict: Verdict) -> Table:
    """The counts, side by side."""
    table = _table("", ">sent", ">on the topics", ">in the file", "")
    for row in verdict.rows:
        mark = "[green]equal[/]" if row.is_well else "[bold red]DIFFERS[/]"
        table.add_row(row.what, *(_shown(count) for count in (row.sent, row.topics, row.file)), mark)
    return table


def _table(*columns: str) -> Table:
    """A table; a column that begins with `>` is set to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left", no_wrap=column != "because"
        )
    return table


def _shown(count: int | Decimal | None) -> str:
    if count is None:
        return "-"
    return dollars(count) if isinstance(count, Decimal) else f"{count:,}"
