"""`customer-worker sql`: run a query on the public tables."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from worker.cli.beside_worker import run_beside_worker
from worker.cli.progress import progress_bar
from worker.cli.shared import AsJson, named
from worker.cli.sql_output import print_csv, print_json, print_rows
from worker.settings import Settings
from worker.snapshots.sql import Limits, run_sql

MOST_ROWS = 10_000_000
_MIB = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sql")(sql)


def sql(
    statement: Annotated[
        str,
        typer.Argument(parser=named("sql", str), metavar="STATEMENT", help="One SELECT, in the SQL of DuckDB."),
    ],
    limit: Annotated[
        int, typer.Option(min=1, max=MOST_ROWS, metavar="ROWS", help="Maximum number of rows printed.")
    ] = 1_000,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3_600, metavar="SECONDS", help="Maximum duration of the statement.")
    ] = 30,
    memory: Annotated[
        int, typer.Option(min=64, metavar="MIB", help="Maximum memory of the statement's database.")
    ] = 1_024,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run one SELECT on a snapshot of the tables customers, churned and journal.

    The statement runs in a process of its own, which has these tables and nothing else: no files, no network, no
    settings. It cannot slow down or endanger the worker.

    Example: customer-worker sql "SELECT plan_tier, count(*), sum(lost_arr) FROM churned GROUP BY ALL"
    """
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json exclude each other")
    settings = Settings.read()
    run_beside_worker()
    write = print_csv if as_csv else print_json if as_json else print_rows
    limits = Limits(limit, timeout, memory)
    with ExitStack() as running:
        with progress_bar("Reading, MiB") as update:
            result = running.enter_context(
                run_sql(settings, statement, limits, lambda done: update(done // _MIB, None))
            )
        write(result)
