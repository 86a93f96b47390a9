"""`customer-worker reconcile`: customers, outbox and topic, do they say the same."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from domain.customer import dollars
from worker.bootstrap import open_value_reader
from worker.cli.shared import AsJson, console, run_async
from worker.cli.tables import print_table
from worker.errors import Exit
from worker.queries.churns import DAYS, MARK, PAIRS, DaysAsked, PairsAsked
from worker.queries.client import ask
from worker.queries.query import NoParameters
from worker.reconcile.reconciliation import DayTotals, Difference, ReconcileSource, Report, reconcile
from worker.settings import Settings
from worker.stores.churns import Churn, ChurnPair, PublishedPosition, StoreDays, Sum

SHOWN = 20


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
        bool, typer.Option("--full", help="Read all of the topic, and not only what came since the last time.")
    ] = False,
    every_day: Annotated[bool, typer.Option("--days", help="Show the days that are equal, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare who left, by day and in dollars: customers, events in the outbox, events on the topic.

    Exit 1 where they differ, with each customer about whom they do. Events that are not published yet are pending,
    those that a tombstone took from the topic are erased: neither is a difference.

    Example: customer-worker reconcile --from 2026-06-01 --to 2026-06-30
    """
    if since is not None and until is not None and since > until:
        raise typer.BadParameter("--from is after --to")
    settings = Settings.read()
    gc.disable()  # a short life and many events
    with open_value_reader() as values:
        report = run_async(lambda: reconcile(settings, _Asked(settings), values, since, until, is_full=is_full))
    if as_json:
        print(json.dumps(_as_json(report)))
    else:
        _print(report, every_day=every_day)
    if not report.is_clean:
        raise typer.Exit(Exit.NO)


class _Asked(ReconcileSource):
    """Whoever has the store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def mark(self) -> PublishedPosition:
        return await ask(self._settings, MARK, NoParameters())

    async def days(self, published_seq: int, since: date, until: date, pending_at_most: int) -> StoreDays:
        return await ask(self._settings, DAYS, DaysAsked(published_seq, since, until, pending_at_most))

    async def pairs(self, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
        return await ask(self._settings, PAIRS, PairsAsked(published_seq, list(days)))


def _print(report: Report, *, every_day: bool) -> None:
    if not report.days and not report.strangers and not report.tombstones:
        console.print("Nobody has churned.")
        return
    table = Table("day", box=None)
    for column in (
        *("customers", "events", "on the topic", "erased", "pending"),
        *("ARR of customers", "of events", "on the topic"),
    ):
        table.add_column(column, justify="right")
    table.add_column("")
    shown = {day: of for day, of in report.days.items() if every_day or not of.are_equal or of.pending.count}
    for day in list(shown)[: None if every_day else SHOWN]:
        table.add_row(*_row(str(day), shown[day]))
    if len(shown) > SHOWN and not every_day:
        table.add_row(f"… {len(shown) - SHOWN:,} more (--days)")
    table.add_row(*_row(f"{len(report.days):,} days", report.total), style="bold")
    print_table(table)
    for difference in report.differences[:SHOWN]:
        _line(f"{difference.customer_id}: {difference.what} ({_told(difference)})")
    if len(report.differences) > SHOWN:
        _line(f"… and {len(report.differences) - SHOWN:,} more (--json has all)")
    for stranger in report.strangers[:SHOWN]:
        _line(f"{stranger}: no churned event, and no tombstone keyed by a customer id in lower case")
    for each in report.ineffective[:SHOWN]:
        _line(f"{each.tombstone}: tombstone without effect, its customer's event stands at {each.event}")
    if len(report.strangers) > SHOWN:
        _line(f"… and {len(report.strangers) - SHOWN:,} more records that are no churned events")
    _print_end(report)


def _print_end(report: Report) -> None:
    if report.receipts:
        _line(
            f"The store is being rebuilt: {report.receipts:,} events on the topic wait for their customers to be read "
            "again. Reconcile once the worker is done."
        )
    if report.read_before:
        _line(
            f"{report.read_before:,} events on the topic were read before and stand there as they did: only what came "
            "since was read (--full reads all)."
        )
    if report.tombstones:
        _line(
            f"{report.tombstones:,} customers have a tombstone on the topic: an event that it erased is no difference."
        )
    differences = len(report.differences) + len(report.strangers) + len(report.ineffective)
    _line("Equal." if report.is_clean else f"{differences:,} differences.")


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


def _told(difference: Difference) -> str:
    told = [
        ("customer", [difference.customer] if difference.customer else []),
        ("outbox", [difference.event] if difference.event else []),
        ("topic", difference.topic),
    ]
    return ", ".join(f"{who} {_churns(churns)}" for who, churns in told)


def _churns(churns: Sequence[Churn]) -> str:
    return " and ".join(f"{churn.day} {dollars(churn.lost_arr)}" for churn in churns) or "none"


def _line(text: str) -> None:
    console.print(text, markup=False, highlight=False)


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "equal": report.is_clean,
        "total": _accounts_as_json(report.total),
        "days": [{"day": str(day), **_accounts_as_json(accounts)} for day, accounts in report.days.items()],
        "differences": [_difference_as_json(difference) for difference in report.differences],
        "no_events": report.strangers,
        "tombstones": report.tombstones,
        "ineffective_tombstones": msgspec.to_builtins(report.ineffective),
        "receipts_without_customer": report.receipts,
        "read_before": report.read_before,
    }


def _accounts_as_json(of: DayTotals) -> dict[str, Any]:
    accounts = {
        "customers": of.customers,
        "events": of.events,
        "topic": of.topic,
        "erased": of.erased,
        "pending": of.pending,
    }
    return {**{name: _sum_as_json(each) for name, each in accounts.items()}, "equal": of.are_equal}


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
