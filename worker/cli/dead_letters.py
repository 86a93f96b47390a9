"""`customer-worker dead-letters`: list and show refused records, redrive and discard them."""

from __future__ import annotations

import gc
import json
import sys
from typing import Annotated

import typer

from worker.cli import dead_letters_discard, dead_letters_redrive
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
from worker.cli.dead_letter_record import print_record, record_as_json
from worker.cli.dead_letter_tables import print_letters
from worker.cli.shared import AsJson, named, run_async
from worker.errors import Exit, Refusal
from worker.redrive.search import find_dead_letters, read_records
from worker.redrive.source import RemoteSource
from worker.settings import Settings
from worker.stores.dead_letters import WAITING, Filters, Letter, LetterRecord, State
from worker.text.printable import printable

MAX_UNREAD_OFFSETS = 100_000
"""Maximum number of unread offsets that `list` and `show` search for redriven records."""

dead_letters = typer.Typer(help="List, show, redrive and discard refused records.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    dead_letters_redrive.register(dead_letters)
    dead_letters_discard.register(dead_letters)
    app.add_typer(dead_letters, name="dead-letters")


@dead_letters.command("list")
def list_letters(
    ids: Ids = None,
    reason: OfReason = None,
    topic: OfTopic = None,
    customer: OfCustomer = None,
    sender: OfSender = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    states: Annotated[
        list[State] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help=f"Select by state: {', '.join(State)}; may be repeated. Default: open and redriven.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, metavar="COUNT", help="Maximum number of letters shown one by one.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """List refused records with reason, state and ARR at stake. Each customer's ARR counts once.

    Example: customer-worker dead-letters list --reason unknown_plan_tier --newer-than 12h
    """
    settings = Settings.read()
    filters = filters_from_options(settings, ids, reason, topic, customer, sender, older_than, newer_than)
    gc.disable()  # a short life and maybe many letters
    letters, note = run_async(
        lambda: find_dead_letters(settings, RemoteSource(settings), filters, max_unread=MAX_UNREAD_OFFSETS)
    )
    wanted = [letter for letter in letters if letter.state in (states or WAITING)]
    print_letters(wanted, limit=limit, note=note, as_json=as_json)


@dead_letters.command("show")
def show_letter(
    letter_id: Annotated[str, typer.Argument(parser=named("id", str), metavar="TOPIC/PARTITION/OFFSET")],
    raw: Annotated[bool, typer.Option("--raw", help="Write the value to standard output, byte for byte.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write it to a terminal, too; control sequences take effect.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a refused record as received, and its decisions. Control characters are escaped.

    Example: customer-worker dead-letters show customer.signup/3/1704
    """
    settings = Settings.read()
    letter, record = run_async(lambda: _find_one(settings, letter_id))
    if raw:
        _write_raw(record.value or b"", force=force)
    elif as_json:
        print(json.dumps(record_as_json(letter, record)))
    else:
        print_record(letter, record)


async def _find_one(settings: Settings, letter_id: str) -> tuple[Letter, LetterRecord]:
    source = RemoteSource(settings)
    letters, _ = await find_dead_letters(settings, source, Filters(ids=(letter_id,)), max_unread=MAX_UNREAD_OFFSETS)
    if not letters:
        raise Refusal(
            f"dead letter {printable(letter_id)} not found. `customer-worker dead-letters list` lists dead letters",
            Exit.NO,
        )
    if len(letters) > 1:
        raise Refusal(
            f"{len(letters)} dead letters have these coordinates, as the topic was recreated. Select one: "
            + " or ".join(letter.id for letter in letters),
            Exit.USAGE,
        )
    [found] = [found async for found in read_records(source, letters)]
    return found


def _write_raw(value: bytes, *, force: bool) -> None:
    if sys.stdout.isatty() and not force:
        raise Refusal(
            "the value is not written to a terminal: its control sequences would take effect. Redirect the output to a "
            "file or a pipe, or add --force",
            Exit.USAGE,
        )
    sys.stdout.buffer.write(value)
    sys.stdout.buffer.flush()
