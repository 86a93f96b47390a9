"""`customer-worker status`: how the worker's work stands."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from worker.cli.shared import AsJson, console, errors, run_async
from worker.cli.status_shown import Found, as_json_line, facts, partitions
from worker.cli.tables import print_table
from worker.errors import Exit, Refusal
from worker.queries.catalogue import STATUS
from worker.queries.client import ask_with_worker
from worker.queries.lag import look_at_inputs
from worker.queries.query import NoParameters
from worker.settings import Settings

REDRAW_SECONDS = 2.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    watch: Annotated[
        bool, typer.Option("--watch", help=f"Show it again every {REDRAW_SECONDS:.0f} s, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """How far the worker is, what it decided, what waits. Without Kafka it tells what the store says, and ends with 69.

    Example: customer-worker status --watch
    """
    settings = Settings.read()
    if watch:
        with suppress(KeyboardInterrupt):
            _watch(settings, as_json=as_json)
        return
    found = run_async(lambda: _look(settings))
    _print(settings, found, as_json=as_json)
    if found.away is not None:
        raise found.away


async def _look(settings: Settings) -> Found:
    """The status. Raises `Refusal` where the store cannot be asked."""
    store, worker = await ask_with_worker(settings, STATUS, NoParameters())
    try:
        return Found(store, worker, await look_at_inputs(settings, store.next_offsets()), None)
    except Refusal as refusal:
        if refusal.code is not Exit.UNREACHABLE:
            raise
        return Found(store, worker, None, refusal)


def _print(settings: Settings, found: Found, *, as_json: bool) -> None:
    if as_json:
        print(as_json_line(settings, found), flush=True)
    else:
        console.print(facts(settings, found), highlight=False)
        console.print()
        print_table(partitions(found))


def _watch(settings: Settings, *, as_json: bool) -> None:
    """Show it again and again, in place on a terminal. What cannot be reached now may be back the next time."""
    in_place = console.is_terminal and not as_json
    with Live(console=Console(), auto_refresh=False) if in_place else nullcontext() as live:
        while True:
            try:
                found = run_async(lambda: _look(settings))
                if live is None:
                    _print(settings, found, as_json=as_json)
                else:
                    live.update(Group(_clock(), facts(settings, found), Text(), partitions(found)), refresh=True)
            except Refusal as refusal:
                if refusal.code is not Exit.UNREACHABLE:
                    raise
                if live is None:
                    errors.print(str(refusal), style="red", markup=False, highlight=False)
                else:
                    live.update(Group(_clock(), Text(str(refusal), style="red")), refresh=True)
            time.sleep(REDRAW_SECONDS)


def _clock() -> Text:
    return Text(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", style="dim")
