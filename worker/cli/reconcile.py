"""`customer-worker reconcile`: compare churned customers, outbox events and topic events."""

from __future__ import annotations

import gc
from datetime import date, datetime
from typing import Annotated

import typer

from worker.bootstrap import open_value_reader
from worker.cli.reconcile_report import print_report
from worker.cli.shared import AsJson, run_async
from worker.errors import Exit
from worker.reconcile.reconcile import reconcile
from worker.reconcile.source import RemoteReconcileSource
from worker.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile_days)


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise typer.BadParameter("a day is YYYY-MM-DD") from None


def reconcile_days(
    since: Annotated[date | None, typer.Option("--from", parser=_day, metavar="DAY", help="The first day.")] = None,
    until: Annotated[date | None, typer.Option("--to", parser=_day, metavar="DAY", help="The last day.")] = None,
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
    if since is not None and until is not None and since > until:
        raise typer.BadParameter("--from is after --to")
    settings = Settings.read()
    gc.disable()  # a short life and many events
    with open_value_reader() as values:
        report = run_async(
            lambda: reconcile(settings, RemoteReconcileSource(settings), values, since, until, is_full=is_full)
        )
    print_report(report, every_day=every_day, as_json=as_json)
    if not report.is_clean:
        raise typer.Exit(Exit.NO)
