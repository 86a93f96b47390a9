"""`customer-worker status`: positions, lag, outcomes and backlog of the worker."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from worker.cli.shared import AsJson, console, print_error, run_async
from worker.cli.status_report import Found, as_json_line, facts, partitions
from worker.cli.tables import print_table
from worker.errors import Exit, Refusal
from worker.queries.catalogue import STATUS
from worker.queries.client import run_query_and_report
from worker.queries.lag import read_input_status
from worker.queries.query import NoParameters
from worker.settings import Settings

REDRAW_SECONDS = 2.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help=f"Refresh every {REDRAW_SECONDS:.0f} s until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show positions, lag, outcomes and backlog. Without Kafka, print the state of the store and exit with 69.

    Example: customer-worker status --watch
    """
    settings = Settings.read()
    if watch:
        with suppress(KeyboardInterrupt):
            _watch(settings, as_json=as_json)
        return
    found = run_async(lambda: _read_status(settings))
    _print(settings, found, as_json=as_json)
    if found.unreachable is not None:
        raise found.unreachable


async def _read_status(settings: Settings) -> Found:
    """Read the status. Raises `Refusal` if the store cannot be read."""
    store, worker = await run_query_and_report(settings, STATUS, NoParameters())
    try:
        return Found(store, worker, await read_input_status(settings, store.next_offsets()), None)
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
    """Show the status repeatedly, in place on a terminal."""
    in_place = console.is_terminal and not as_json
    with Live(console=Console(), auto_refresh=False) if in_place else nullcontext() as live:
        while True:
            _refresh(settings, live, as_json=as_json)
            time.sleep(REDRAW_SECONDS)


def _refresh(settings: Settings, live: Live | None, *, as_json: bool) -> None:
    """Show the current status, or the reason why it is unavailable: the next attempt may succeed."""
    try:
        found = run_async(lambda: _read_status(settings))
    except Refusal as refusal:
        if refusal.code is not Exit.UNREACHABLE:
            raise
        if live is None:
            print_error(str(refusal))
        else:
            live.update(Group(_clock(), Text(str(refusal), style="red")), refresh=True)
        return
    if live is None:
        _print(settings, found, as_json=as_json)
    else:
        live.update(Group(_clock(), facts(settings, found), Text(), partitions(found)), refresh=True)


def _clock() -> Text:
    return Text(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", style="dim")
