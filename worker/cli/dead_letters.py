"""`customer-worker dead-letters`: what was refused, what is at stake, and sending it back or letting it go."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from worker.cli.ages import age_from
from worker.cli.dead_letter_tables import (
    plan_as_json,
    print_letters,
    print_plan,
    print_record,
    print_sent,
    record_as_json,
    sent_as_json,
)
from worker.cli.own_store import own_store
from worker.cli.printable import printable
from worker.cli.progress import progress_bar
from worker.cli.shared import AsJson, console, customer_id_typed, run_async
from worker.errors import Exit, Refusal
from worker.messages.rejection import Reason
from worker.redrive.looking import look, records_of
from worker.redrive.selection import Plan, Sent, became, plan, redrive, wait_until_read
from worker.redrive.source import LocalSource, RemoteSource
from worker.settings import Settings
from worker.stores.dead_letters import WAITING, Filters, Letter, LetterRecord, State, with_earlier

UNREAD_LOOKED_THROUGH = 100_000
NO_LIMIT = sys.maxsize

Ids = Annotated[
    list[str] | None, typer.Option("--id", metavar="TOPIC/PARTITION/OFFSET", help="This letter; may be repeated.")
]
OfReason = Annotated[Reason | None, typer.Option("--reason", help="Refused for this reason.")]
OfTopic = Annotated[str | None, typer.Option("--topic", help="Came from this topic.")]
OfCustomer = Annotated[
    str | None, typer.Option("--customer", parser=customer_id_typed, metavar="ID", help="Is about this customer.")
]
OlderThan = Annotated[
    timedelta | None, typer.Option(parser=age_from, metavar="AGE", help="Refused longer ago: 45m, 12h, 30d.")
]
NewerThan = Annotated[
    timedelta | None, typer.Option(parser=age_from, metavar="AGE", help="Refused since: 45m, 12h, 30d.")
]
Execute = Annotated[bool, typer.Option("--execute", help="Do it; without it, only what would be done is shown.")]

dead_letters = typer.Typer(help="Records that were refused.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(dead_letters, name="dead-letters")


def _filters(
    settings: Settings,
    ids: Sequence[str] | None,
    reason: Reason | None,
    topic: str | None,
    customer: str | None,
    older_than: timedelta | None,
    newer_than: timedelta | None,
) -> Filters:
    """The filters that were typed. Raises `typer.BadParameter`."""
    if topic is not None and topic not in settings.topics.inputs:
        raise typer.BadParameter(f"--topic is one of {', '.join(settings.topics.inputs)}")
    now = datetime.now(UTC)
    return Filters(
        ids=tuple(ids or ()),
        topic=topic,
        reason=reason,
        customer=customer,
        refused_before=None if older_than is None else now - older_than,
        refused_since=None if newer_than is None else now - newer_than,
    )


@dead_letters.command("list")
def list_letters(
    ids: Ids = None,
    reason: OfReason = None,
    topic: OfTopic = None,
    customer: OfCustomer = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    states: Annotated[
        list[State] | None, typer.Option("--state", help="In this state; may be repeated. Else those that wait.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="The most letters shown one by one.")] = 20,
    as_json: AsJson = False,
) -> None:
    """What was refused, why, what became of it, and the ARR at stake: each customer's once.

    Example: customer-worker dead-letters list --reason unknown_plan_tier --newer-than 12h
    """
    settings = Settings.read()
    filters = _filters(settings, ids, reason, topic, customer, older_than, newer_than)
    gc.disable()  # a short life and maybe many letters
    letters, note = run_async(lambda: look(settings, RemoteSource(settings), filters, at_most=UNREAD_LOOKED_THROUGH))
    wanted = [letter for letter in letters if letter.state in (states or WAITING)]
    print_letters(wanted, limit=limit, note=note, as_json=as_json)


@dead_letters.command("show")
def show_letter(
    letter_id: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET")],
    raw: Annotated[bool, typer.Option("--raw", help="Write the value to standard output, byte for byte.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write it to a terminal, too, whatever it does there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One refused record as it came, with all that is known of it; safe to print.

    Example: customer-worker dead-letters show customer.signup/3/1704
    """
    settings = Settings.read()
    letter, record = run_async(lambda: _one(settings, letter_id))
    if raw:
        _write_raw(record.value or b"", force=force)
    elif as_json:
        print(json.dumps(record_as_json(letter, record)))
    else:
        print_record(letter, record)


async def _one(settings: Settings, letter_id: str) -> tuple[Letter, LetterRecord]:
    asked = RemoteSource(settings)
    letters, _ = await look(settings, asked, Filters(ids=(letter_id,)), at_most=UNREAD_LOOKED_THROUGH)
    if not letters:
        raise Refusal(
            f"there is no dead letter {printable(letter_id)}. `customer-worker dead-letters list` names those that are",
            Exit.NO,
        )
    if len(letters) > 1:
        raise Refusal(
            f"there are {len(letters)} dead letters of that place, as its topic was recreated: say which, "
            + " or ".join(letter.id for letter in letters),
            Exit.USAGE,
        )
    [found] = [found async for found in records_of(asked, letters)]
    return found


def _write_raw(value: bytes, *, force: bool) -> None:
    if sys.stdout.isatty() and not force:
        raise Refusal(
            "the value is not written to a terminal, which would obey what it holds. Send it to a file or a pipe, or "
            "add --force",
            Exit.USAGE,
        )
    sys.stdout.buffer.write(value)
    sys.stdout.buffer.flush()


@dead_letters.command("redrive")
def redrive_letters(
    ids: Ids = None,
    reason: OfReason = None,
    topic: OfTopic = None,
    customer: OfCustomer = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    max_redrives: Annotated[int, typer.Option(min=1, help="Leave out what was redriven so often already.")] = 3,
    rate: Annotated[int | None, typer.Option(min=1, help="The most records a second.")] = None,
    execute: Execute = False,
    as_json: AsJson = False,
) -> None:
    """Send open dead letters back to where they came from, oldest first. A dry run unless --execute is given.

    Each record goes back as it was received, to its own partition. What was sent and is not decided yet is not sent
    again. Ctrl-C stops it in good order; run it again to go on. Exit 1 where a topic does not take a record.

    Example: customer-worker dead-letters redrive --reason unknown_plan_tier --rate 500 --execute
    """
    settings = Settings.read()
    filters = _filters(settings, ids, reason, topic, customer, older_than, newer_than)
    if execute:
        run_async(lambda: _redrive(settings, filters, max_redrives, rate, as_json=as_json))
    else:
        chosen = run_async(lambda: _plan(settings, filters, max_redrives))
        _print_dry_run(chosen, "Dry run: nothing is sent. These would be:", as_json=as_json)


async def _plan(settings: Settings, filters: Filters, max_redrives: int) -> Plan:
    with progress_bar("looking through what is not read yet") as progress:
        letters, _ = await look(settings, RemoteSource(settings), filters, progress=progress)
    return plan(letters, max_redrives)


def _print_dry_run(chosen: Plan, heading: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"executed": False, **plan_as_json(chosen)}))
        return
    print_plan(chosen, heading=heading)
    if chosen.letters:
        console.print("Add --execute to do it.")


async def _redrive(settings: Settings, filters: Filters, max_redrives: int, rate: int | None, *, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    asked = RemoteSource(settings)
    is_worker = await asked.is_worker()
    with progress_bar("sending") as progress:
        chosen, sender = await redrive(
            settings, asked, filters, max_redrives=max_redrives, rate=rate, stop=stop, progress=progress
        )
    sent = Sent(len(sender.sent), sender.too_large)
    if sender.sent and is_worker and not stop.is_set():
        with progress_bar("the worker reads them") as progress:
            await wait_until_read(asked, sender.ends, stop, progress)
        sent = await became(asked, filters, chosen, sender)
    if as_json:
        print(json.dumps({"executed": True, **plan_as_json(chosen), **sent_as_json(sent)}))
    else:
        print_plan(chosen, heading="Chosen:")
        print_sent(sent)
        _print_what_next(sent, is_worker=is_worker, is_stopped=stop.is_set())
    if sent.too_large:
        raise typer.Exit(Exit.NO)


def _print_what_next(sent: Sent, *, is_worker: bool, is_stopped: bool) -> None:
    if is_stopped:
        console.print("Stopped before the end. Run it again to go on: nothing is sent twice.")
    elif sent.sent and not is_worker:
        console.print("The worker does not run: it decides them at its next start.")
    elif sent.undecided:
        console.print("The worker is not done with them: `customer-worker dead-letters list --state redriven` tells.")


@dead_letters.command("discard")
def discard_letters(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[TOPIC/PARTITION/OFFSET]...")] = None,
    why: Annotated[str, typer.Option("--why", help="Why they are left: kept with them.")] = "",
    reason: OfReason = None,
    topic: OfTopic = None,
    customer: OfCustomer = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    execute: Execute = False,
    as_json: AsJson = False,
) -> None:
    """Leave open dead letters for good: neither a redrive nor a replay takes them. A dry run unless --execute is given.

    It is written into the store, which with DuckDB is the worker's alone while that runs: stop it first. The letters
    stay on their topic. A store that is lost and rebuilt does not know of it.

    Example: customer-worker dead-letters discard customer.signup/3/1704 --why "billing's own test" --execute
    """
    settings = Settings.read()
    filters = _filters(settings, ids, reason, topic, customer, older_than, newer_than)
    if not execute:
        chosen = run_async(lambda: _plan(settings, filters, NO_LIMIT))
        _print_dry_run(chosen, "Dry run: nothing is written. These would be discarded:", as_json=as_json)
        return
    if not why.strip():
        raise typer.BadParameter("--why is missing: say why they are left")
    chosen = run_async(lambda: _discard(settings, filters, why))
    if as_json:
        print(json.dumps({"executed": True, **plan_as_json(chosen)}))
    else:
        print_plan(chosen, heading="Discarded:")


async def _discard(settings: Settings, filters: Filters, why: str) -> Plan:
    with own_store(settings) as store:
        ourselves = LocalSource(settings, store)
        letters, _ = await look(settings, ourselves, filters)
        chosen = plan(letters, NO_LIMIT)
        every = (await ourselves.letters(Filters())).letters
        store.discard([letter.id for letter in with_earlier(chosen.letters, every)], why)
        return chosen
