"""`customer-worker migrate` and `store copy`: migrate the tables, copy DuckDB to PostgreSQL."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError

from worker import store_operations
from worker.cli.progress import progress_bar
from worker.cli.shared import AsJson, named, print_error, print_line
from worker.settings import STORE_URL, Settings, Store
from worker.settings.secret_files import FILE_SUFFIX, FileRefused, read_value
from worker.settings.section import HIDDEN


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("migrate")(migrate)
    store = typer.Typer(help="Copy the store.", no_args_is_help=True)
    store.callback()(_nothing)
    store.command("copy")(copy)
    app.add_typer(store, name="store")


def _nothing() -> None:
    """Keep `store` a group: typer turns a group of one command into that command."""


def _store(text: str) -> Store:
    """Parse the address of a store, the name of a variable with it, or @FILE. Raises `typer.BadParameter`."""
    if text.startswith("@"):
        return _parsed(_file_content(text.removeprefix("@")))
    if text.upper() in {STORE_URL, STORE_URL + FILE_SUFFIX}:
        return Settings.read().store
    if re.fullmatch(r"[A-Za-z_]\w*", text):
        if text not in os.environ:
            raise typer.BadParameter(f"{text} is not a variable of the environment")
        return _parsed(os.environ[text])
    store = _parsed(text)
    if any(secret in store.shown for secret in (f":{HIDDEN}@", f"={HIDDEN}")):
        print_error(
            "Warning: the arguments of a process are visible to other users. Instead of an address with a password, "
            "write the name of a variable that contains it, or @FILE"
        )
    return store


def _file_content(path: str) -> str:
    try:
        return read_value(Path(path))
    except FileRefused as refused:
        raise typer.BadParameter(f"the file {refused}") from None


def _parsed(url: str) -> Store:
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
    source: Annotated[
        Store,
        typer.Argument(
            parser=named("address", _store), metavar="FROM", help="duckdb:///FILE, the name of a variable, or @FILE."
        ),
    ],
    target: Annotated[
        Store,
        typer.Argument(
            parser=named("address", _store),
            metavar="TO",
            help="An empty database: postgresql://…, the name of a variable with its address, or @FILE.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Copy a whole store to another database. Stop the worker first, then start workers on the copy.

    The copy is one transaction. Published events are not published again. Do not start a worker on the old store
    afterwards: it would continue from the state before the copy.

    An address with a password is visible in the list of processes. CUSTOMER_WORKER_STORE__URL, the name of another
    variable, or @ and the path of a file keep it out of there.

    Example: customer-worker store copy duckdb:///customers.duckdb @/run/secrets/store_url
    """
    with progress_bar("Copying the store") as progress:
        copied = store_operations.copy_store(source, target, progress)
    if as_json:
        print(json.dumps({"rows": copied}))
    else:
        print_line(f"{copied:,} rows copied. Set CUSTOMER_WORKER_STORE__URL to {target.shown} and start the workers.")
