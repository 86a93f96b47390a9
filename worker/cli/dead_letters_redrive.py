"""`customer-worker dead-letters redrive`: send dead letters back to their topics."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Annotated, Any

import typer

from domain.customer import dollars
from worker.cli.dead_letter_options import (
    Ids,
    NewerThan,
    OfCustomer,
    OfReason,
    OfSender,
    OfTopic,
    OlderThan,
    filters_from_options,
)
from worker.cli.dead_letter_plan import find_plan, plan_as_json, print_dry_run, print_plan
from worker.cli.dead_letter_tables import group_as_json
from worker.cli.progress import progress_bar
from worker.cli.shared import AsJson, Execute, print_line, run_async
from worker.errors import Exit
from worker.redrive.redrive import RedriveResult, read_result, redrive, wait_until_read
from worker.redrive.source import RemoteSource
from worker.settings import Settings
from worker.stores.dead_letters import Filters


def register(dead_letters: typer.Typer) -> None:
    """Add the command."""
    dead_letters.command("redrive")(redrive_letters)


def redrive_letters(
    ids: Ids = None,
    reason: OfReason = None,
    topic: OfTopic = None,
    customer: OfCustomer = None,
    sender: OfSender = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    max_redrives: Annotated[
        int, typer.Option(min=1, metavar="COUNT", help="Exclude letters redriven this many times already.")
    ] = 3,
    rate: Annotated[
        int | None, typer.Option(min=1, metavar="COUNT", help="Maximum number of records per second.")
    ] = None,
    execute: Execute = False,
    as_json: AsJson = False,
) -> None:
    """Send open dead letters back to their source topics, oldest first. A dry run unless --execute is given.

    Each record is sent as received, to its source partition. Letters redriven already and not decided yet are not
    sent again. Ctrl-C stops after the current batch; run the command again to continue. Exit 1 if a topic refused a
    record.

    Example: customer-worker dead-letters redrive --reason unknown_plan_tier --rate 500 --execute
    """
    settings = Settings.read()
    filters = filters_from_options(settings, ids, reason, topic, customer, sender, older_than, newer_than)
    if execute:
        run_async(lambda: _redrive(settings, filters, max_redrives, rate, as_json=as_json))
    else:
        chosen = run_async(lambda: find_plan(settings, filters, max_redrives))
        print_dry_run(chosen, "Dry run: nothing was sent. To be redriven:", as_json=as_json)


async def _redrive(settings: Settings, filters: Filters, max_redrives: int, rate: int | None, *, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    source = RemoteSource(settings)
    is_worker_running = await source.is_worker_running()
    with progress_bar("sending") as progress:
        chosen, sender = await redrive(
            settings, source, filters, max_redrives=max_redrives, rate=rate, stop=stop, progress=progress
        )
    result = RedriveResult(len(sender.sent), sender.too_large)
    if sender.sent and is_worker_running and not stop.is_set():
        with progress_bar("Waiting for the worker to read them") as progress:
            await wait_until_read(source, sender.ends, stop, progress)
        result = await read_result(source, filters, chosen, sender)
    if as_json:
        print(json.dumps({"executed": True, **plan_as_json(chosen), **_result_as_json(result)}))
    else:
        print_plan(chosen, heading="Chosen:")
        _print_result(result)
        _print_next_step(result, is_worker_running=is_worker_running, is_stopped=stop.is_set())
    if result.too_large:
        raise typer.Exit(Exit.NO)


def _print_next_step(result: RedriveResult, *, is_worker_running: bool, is_stopped: bool) -> None:
    if is_stopped:
        print_line("Stopped before the end. Run the command again to continue: nothing is sent twice.")
    elif result.sent and not is_worker_running:
        print_line("No worker is running. The next one decides them.")
    elif result.undecided:
        print_line("Not decided yet. Follow them with `customer-worker dead-letters list --state redriven`.")


def _print_result(result: RedriveResult) -> None:
    print_line(f"Sent {result.sent:,} records.")
    for each in result.too_large:
        print_line(f"Not sent: {each} exceeds max.message.bytes of its topic. Raise it, then redrive the letter")
    for group in result.decided or ():
        print_line(
            f"{_WHAT_BECAME[group.state.value]}: {group.letters:,} of {group.reason}, {dollars(group.arr_at_stake)}"
        )
    if result.undecided:
        print_line(f"Not read by the worker yet: {result.undecided:,}")


_WHAT_BECAME = {
    "applied": "Applied",
    "refused_again": "Refused again",
    "redriven": "Waiting for a signup",
    "discarded": "Discarded",
}


def _result_as_json(result: RedriveResult) -> dict[str, Any]:
    return {
        "sent": result.sent,
        "too_large": result.too_large,
        "decided": None if result.decided is None else [group_as_json(group) for group in result.decided],
        "undecided": result.undecided,
    }
