"""`customer-worker reconcile`: compare churned customers, outbox events and topic events."""

from __future__ import annotations

import gc
from datetime import date
from typing import Annotated

import typer

from worker.bootstrap import open_value_reader
from worker.cli.days import parse_day, require_order
from worker.cli.reconcile_report import print_report
from worker.cli.shared import AsJson, run_async
from worker.errors import Exit
from worker.reconcile.reconcile import reconcile
from worker.reconcile.source import RemoteReconcileSource
from worker.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile_days)


def reconcile_days(
    since: Annotated[
        date | None, typer.Option("--from", parser=parse_day, metavar="DAY", help="The first day.")
    ] = None,
    until: Annotated[date | None, typer.Option("--to", parser=parse_day, metavar="DAY", help="The last day.")] = None,
    is_full: Annotated[
        bool, typer.Option("--full", help="Read the whole topic, not only the records added since the last run.")
    ] = False,
    every_day: Annotated[bool, typer.Option("--days", help="Show days without differences, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare churned customers, events in the outbox and events on the topic, by day, in number and ARR.

    Exit 1 if differences were found, and list the customers that differ. Unpublished events are pending, events
    removed by a tombstone are erased: neither is a difference.

    Example: customer-worker reconcile --from 2026-06-01 --to 2026-06-30
    """
    require_order(since, until)
    settings = Settings.read()
    gc.disable()  # a short life and many events
    with open_value_reader() as values:
        report = run_async(
            lambda: reconcile(settings, RemoteReconcileSource(settings), values, since, until, is_full=is_full)
        )
    print_report(report, every_day=every_day, as_json=as_json)
    if not report.is_clean:
        raise typer.Exit(Exit.NO)
