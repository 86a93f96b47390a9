"""`customer-worker check`: is all there that the worker needs."""

from __future__ import annotations

import json

import typer

from worker import checks
from worker.checks import Check
from worker.commands.shared import AsJson, console, run_async
from worker.composition import check_store
from worker.settings import Settings
from worker.stopping import Exit


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(as_json: AsJson = False) -> None:
    """Check settings, brokers, topics and store; exit 1 when one is not well.

    Example: customer-worker check
    """
    settings = Settings.read()
    found = [
        Check("settings", is_well=True, found="valid"),
        *run_async(lambda: _collect(settings)),
        check_store(settings),
    ]
    if as_json:
        print(json.dumps([{"name": c.name, "ok": c.is_well, "found": c.found, "advice": c.advice} for c in found]))
    else:
        for one in found:
            mark = "[green]ok  [/]" if one.is_well else "[red]FAIL[/]"
            console.print(
                mark, f"{one.name}: {one.found}" + (f" - {one.advice}" if one.advice else ""), highlight=False
            )
    if not all(one.is_well for one in found):
        raise typer.Exit(Exit.NO)


async def _collect(settings: Settings) -> list[Check]:
    return [one async for one in checks.kafka_checks(settings)]
