"""`customer-worker migrate` and `store copy`: migrate the tables, copy DuckDB to PostgreSQL."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError

from worker import store_operations
from worker.cli.progress import progress_bar
from worker.cli.shared import AsJson, named, print_line
from worker.settings import Settings, Store


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("migrate")(migrate)
    store = typer.Typer(help="Copy the store.", no_args_is_help=True)
    store.callback()(_nothing)
    store.command("copy")(copy)
    app.add_typer(store, name="store")


def _nothing() -> None:
    """Keep `store` a group: typer turns a group of one command into that command."""


def _store(url: str) -> Store:
    """Parse the address of a store. Raises `typer.BadParameter`."""
    try:
        return Store(url=SecretStr(url))
    except ValidationError as error:
        raise typer.BadParameter("it " + error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def migrate(as_json: AsJson = False) -> None:
    """Migrate the store's tables to this version.

    Example: customer-worker migrate
    """
    before, after = store_operations.migrate(Settings.read())
    if as_json:
        print(json.dumps({"before": before, "after": after}))
    elif before == after:
        print_line(f"The store already has version {after}.")
    else:
        print_line(f"The store was migrated to version {after}; it had {before or 'no tables'}.")


def copy(
    source: Annotated[Store, typer.Argument(parser=named("url", _store), metavar="FROM_URL", help="duckdb:///FILE")],
    target: Annotated[
        Store,
        typer.Argument(parser=named("url", _store), metavar="TO_URL", help="postgresql://…, an empty database"),
    ],
    as_json: AsJson = False,
) -> None:
    """Copy a whole store to another database. Stop the worker first, then start workers on the copy.

    The copy is one transaction. Published events are not published again. Do not start a worker on the old store
    afterwards: it would continue from the state before the copy.

    Example: customer-worker store copy duckdb:///customers.duckdb postgresql://worker@db/customers
    """
    with progress_bar("Copying the store") as progress:
        copied = store_operations.copy_store(source, target, progress)
    if as_json:
        print(json.dumps({"rows": copied}))
    else:
        print_line(f"{copied:,} rows copied. Set CUSTOMER_WORKER_STORE__URL to {target.shown} and start the workers.")
