"""`customer-worker check`: check the preconditions of a worker."""

from __future__ import annotations

import json

import typer
from rich.markup import escape

from worker import preflight
from worker.cli.shared import AsJson, console, run_async
from worker.errors import Exit
from worker.monitoring.checks import Check
from worker.settings import Settings
from worker.store_operations import check_store


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(as_json: AsJson = False) -> None:
    """Check settings, brokers, topics, rights and store. Exit 1 if a check failed.

    WARN: not checked, because a right is missing.

    Example: customer-worker check
    """
    settings = Settings.read()
    found = [
        Check("settings", is_well=True, found="valid"),
        *run_async(lambda: _collect(settings)),
        check_store(settings),
    ]
    if as_json:
        print(json.dumps([_as_json(one) for one in found]))
    else:
        for one in found:
            text = f"{one.name}: {one.found}" + (f" - {one.advice}" if one.advice else "")
            console.print(_label(one), escape(text), highlight=False)
    if not all(one.is_well for one in found):
        raise typer.Exit(Exit.NO)


def _label(one: Check) -> str:
    if not one.is_well:
        return "[red]FAIL[/]"
    return "[green]ok  [/]" if one.is_known else "[yellow]WARN[/]"


def _as_json(one: Check) -> dict[str, str | bool]:
    return {"name": one.name, "ok": one.is_well, "known": one.is_known, "found": one.found, "advice": one.advice}


async def _collect(settings: Settings) -> list[Check]:
    return [one async for one in preflight.kafka_checks(settings)]
