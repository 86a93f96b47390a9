"""`customer-worker parked`: list parked cancellations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from worker.cli import parked_dead_letter
from worker.cli.ages import age_from
from worker.cli.counted import counted
from worker.cli.shared import AsJson, print_line, run_async
from worker.cli.tables import print_table
from worker.queries.catalogue import PARKED
from worker.queries.client import run_query
from worker.queries.parked import MOST_CUSTOMERS, ParkedList, ParkedQuery, WaitingCustomer
from worker.settings import Settings
from worker.text.ages import shown_age
from worker.text.printable import json_line

parked = typer.Typer(
    help="List parked cancellations, which wait for their signup, and make dead letters of them.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    parked_dead_letter.register(parked)
    app.add_typer(parked, name="parked")


@parked.command("list")
def list_parked(
    older_than: Annotated[
        timedelta | None, typer.Option(parser=age_from, metavar="AGE", help="Parked for longer than this: 12h, 30d.")
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_CUSTOMERS,
            metavar="COUNT",
            help="Maximum number of customers listed, longest waiting first.",
        ),
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """List customers with parked cancellations, which wait for their signup.

    Example: customer-worker parked list --older-than 30d
    """
    settings = Settings.read()
    before = None if older_than is None else datetime.now(UTC) - older_than
    found = run_async(lambda: run_query(settings, PARKED, ParkedQuery(limit, before)))
    if as_json:
        print(json_line(found))
    else:
        _print(found)


def _print(found: ParkedList) -> None:
    totals = found.totals
    if not totals.records:
        print_line("No parked cancellations.")
        return
    now = datetime.now(UTC)
    table = Table("customer", "waiting for", "cancelled for", "records", box=None, pad_edge=False)
    for customer in found.customers:
        table.add_row(customer.customer_id, shown_age(now - customer.since), *_columns(customer))
    print_table(table)
    if len(found.customers) < totals.customers:
        rest = counted(totals.customers - len(found.customers), "more customer")
        print_line(f"… and {rest} (--limit)")
    waiting = f"{counted(totals.records, 'cancellation')} of {counted(totals.customers, 'customer')}"
    print_line(f"Total: {waiting}.")


def _columns(customer: WaitingCustomer) -> tuple[str, str]:
    dates = dict.fromkeys(str(each.cancellation_date or "unknown") for each in customer.cancellations)
    return ", ".join(dates), ", ".join(each.coordinates for each in customer.cancellations)
