"""`customer-worker parked dead-letter`: make dead letters of parked cancellations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from worker.bootstrap import batch_path
from worker.cli.ages import age_from
from worker.cli.own_store import own_store
from worker.cli.shared import AsJson, print_line, run_async
from worker.cli.tables import print_table
from worker.messages.record import coordinates
from worker.processing.batch import BatchProcessor
from worker.processing.unit_of_work import UnitOfWork
from worker.queries.client import run_query
from worker.queries.parked_before import PARKED_BEFORE, ParkedBefore, WaitingCancellation
from worker.settings import Settings
from worker.stores.changes import ParkedRecord
from worker.stores.errors import StoreConflictError
from worker.stores.port import Store
from worker.text.ages import shown_age

SHOWN = 20


def register(parked: typer.Typer) -> None:
    """Add the command."""
    parked.command("dead-letter")(dead_letter_parked)


def dead_letter_parked(
    older_than: Annotated[
        timedelta, typer.Option(parser=age_from, metavar="AGE", help="Parked for longer than this: 12h, 30d.")
    ],
    execute: Annotated[bool, typer.Option("--execute", help="Execute it. Default: dry run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make dead letters of cancellations whose signup is missing. A dry run unless --execute is given.

    They are no longer parked: a later signup leaves the customer active, until the dead letter is redriven. With
    DuckDB, stop the worker first. The next running worker publishes the dead letters.

    Example: customer-worker parked dead-letter --older-than 30d --execute
    """
    settings = Settings.read()
    before = datetime.now(UTC) - older_than
    if execute:
        waiting = _abandon(settings, before)
    else:
        waiting = run_async(lambda: run_query(settings, PARKED_BEFORE, ParkedBefore(before)))
    if as_json:
        found = [{"coordinates": each.coordinates, "customer_id": each.customer_id} for each in waiting]
        print(json.dumps({"executed": execute, "count": len(waiting), "parked": found}))
        return
    _print(waiting, execute=execute)


def _abandon(settings: Settings, before: datetime) -> Sequence[WaitingCancellation]:
    path = batch_path(settings)
    abandoned: set[str] = set()
    with own_store(settings) as store:
        with store.view() as view:
            found = PARKED_BEFORE.run(view, settings, ParkedBefore(before))
        while waiting := store.parked_before(before, settings.batch.max_records):
            with suppress(StoreConflictError):  # a signup was received for some of them: read the parked ones again
                _commit_abandoned(store, path, waiting)
                abandoned.update(coordinates(parked.record) for parked in waiting)
    return [each for each in found if each.coordinates in abandoned]


def _commit_abandoned(store: Store, path: BatchProcessor, waiting: Sequence[ParkedRecord]) -> None:
    with UnitOfWork(store) as work:
        path.give_up(waiting, work)
        work.commit()


def _print(waiting: Sequence[WaitingCancellation], *, execute: bool) -> None:
    if not waiting:
        print_line("No cancellation has been parked for longer.")
        return
    now = datetime.now(UTC)
    table = Table("record", "customer", "parked for", box=None, pad_edge=False)
    for each in waiting[:SHOWN]:
        table.add_row(each.coordinates, each.customer_id, shown_age(now - each.parked_at))
    print_table(table)
    if len(waiting) > SHOWN:
        print_line(f"… and {len(waiting) - SHOWN:,} more (--json has all)")
    if execute:
        print_line(f"{len(waiting):,} dead letters made, reason no_signup. The next running worker publishes them.")
    else:
        print_line(
            f"Dry run: {len(waiting):,} dead letters would be made. Add --execute to execute it; with DuckDB, stop the "
            "worker first.",
        )
