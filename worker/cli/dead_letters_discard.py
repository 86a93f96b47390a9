"""`customer-worker dead-letters discard`: exclude dead letters from redrive and replay permanently."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from worker.cli.dead_letter_options import (
    NewerThan,
    OfCustomer,
    OfReason,
    OfSender,
    OfTopic,
    OlderThan,
    filters_from_options,
)
from worker.cli.dead_letter_plan import find_plan, plan_as_json, print_dry_run, print_plan
from worker.cli.own_store import own_store
from worker.cli.shared import AsJson, Execute, named, run_async
from worker.redrive.plan import Plan, plan
from worker.redrive.search import find_dead_letters
from worker.redrive.source import LocalSource
from worker.settings import Settings
from worker.stores.dead_letters import Filters, with_earlier

ANY_REDRIVE_COUNT = sys.maxsize


def register(dead_letters: typer.Typer) -> None:
    """Add the command."""
    dead_letters.command("discard")(discard_letters)


def discard_letters(
    ids: Annotated[
        list[str] | None, typer.Argument(parser=named("id", str), metavar="[TOPIC/PARTITION/OFFSET]...")
    ] = None,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="Reason for the discard, stored with the letters.")
    ] = "",
    reason: OfReason = None,
    topic: OfTopic = None,
    customer: OfCustomer = None,
    sender: OfSender = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    execute: Execute = False,
    as_json: AsJson = False,
) -> None:
    """Discard open dead letters: exclude them from redrives and replays. A dry run unless --execute is given.

    The discard is recorded in the store. With DuckDB, stop the worker first. The letters remain on their topic. A
    store that is lost and rebuilt loses the discards.

    Example: customer-worker dead-letters discard customer.signup/3/1704 --why "billing's own test" --execute
    """
    settings = Settings.read()
    filters = filters_from_options(settings, ids, reason, topic, customer, sender, older_than, newer_than)
    if not execute:
        chosen = run_async(lambda: find_plan(settings, filters, ANY_REDRIVE_COUNT))
        print_dry_run(chosen, "Dry run: nothing was written. To be discarded:", as_json=as_json)
        return
    if not why.strip():
        raise typer.BadParameter("--why is missing: give the reason for the discard")
    chosen = run_async(lambda: _discard(settings, filters, why))
    if as_json:
        print(json.dumps({"executed": True, **plan_as_json(chosen)}))
    else:
        print_plan(chosen, heading="Discarded:")


async def _discard(settings: Settings, filters: Filters, why: str) -> Plan:
    with own_store(settings) as store:
        source = LocalSource(settings, store)
        letters, _ = await find_dead_letters(settings, source, filters)
        chosen = plan(letters, ANY_REDRIVE_COUNT)
        every = (await source.letters(Filters())).letters
        store.discard([letter.id for letter in with_earlier(chosen.letters, every)], why)
        return chosen
