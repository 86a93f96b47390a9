"""`customer-worker export`: write a public table to a Parquet or CSV file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.beside_worker import run_beside_worker
from worker.cli.counted import counted
from worker.cli.printable import json_line
from worker.cli.progress import progress_bar
from worker.cli.shared import AsJson, named, print_line, time_typed
from worker.queries.snapshot import SnapshotQuery, TableColumns
from worker.settings import Settings
from worker.snapshots.export import FORMATS, Exported, export
from worker.stores.public_tables import COLUMNS, PublicTable

_MIB = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export_table)


def _file(text: str) -> Path:
    """Return the path of a file to be written. Raises `typer.BadParameter`."""
    path = Path(text)
    if path.suffix.lower() not in FORMATS:
        raise typer.BadParameter("the name of the file ends with .parquet or .csv")
    return path


def _past(text: str) -> datetime:
    """Parse a time that has passed. Raises `typer.BadParameter`."""
    moment = time_typed(text)
    if moment > datetime.now(UTC):
        raise typer.BadParameter("the time has not come yet")
    return moment


def export_table(
    file: Annotated[
        Path, typer.Argument(parser=named("file", _file), metavar="FILE.parquet|.csv", help="The new file.")
    ],
    table: Annotated[
        PublicTable, typer.Option(metavar="customers|churned|journal", help="Table to export.")
    ] = PublicTable.CUSTOMERS,
    as_of: Annotated[
        datetime | None,
        typer.Option(parser=_past, metavar="TIME", help="Export the state at this time (UTC, or with a zone)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a table of the store to a file: customers, the payload of each churned event, or the journal.

    The rows are those of one moment, in no particular order. The file appears once it is complete.

    Example: customer-worker export customers.parquet
    """
    settings = Settings.read()
    query = SnapshotQuery([TableColumns(table, list(COLUMNS[table]))], as_of)
    run_beside_worker()
    try:
        exported = _export(settings, query, file, replaces=force)
    except FileExistsError:
        raise typer.BadParameter(f"{file} exists. --force replaces it", param_hint="FILE") from None
    if as_json:
        print(json_line({"file": str(file), "table": table, "as_of": as_of, **exported._asdict()}))
    else:
        print_line(f"{file}: {counted(exported.rows, 'row')}, {exported.bytes / _MIB:,.1f} MiB")


def _export(settings: Settings, query: SnapshotQuery, file: Path, *, replaces: bool) -> Exported:
    with progress_bar("Exporting, MiB") as update:

        def progress(done: int, total: int | None) -> None:
            update(done // _MIB, total and total // _MIB)

        return export(settings, query, file, progress, replaces=replaces)
