"""`customer-worker config`: show the settings."""

from __future__ import annotations

import json

import typer
from rich.table import Table

from worker.cli.shared import AsJson
from worker.cli.tables import print_table
from worker.settings import Settings

config = typer.Typer(help="Show the settings.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(config, name="config")


@config.command("show")
def show_config(as_json: AsJson = False) -> None:
    """Show every setting and its value, secrets hidden.

    Example: customer-worker config show
    """
    shown = Settings.read().shown()
    if as_json:
        print(json.dumps(shown))
        return
    table = Table("setting", "value")
    for name, value in shown.items():
        table.add_row(name, value)
    print_table(table)
