"""The versions of each database's tables: numbered SQL files, each leading from the version before it.

`sql/<database>/0002_what_it_does.sql` leads from version 1 to 2. A file that has been released is never changed.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple


class Migration(NamedTuple):
    """One step: the version it leads to, and the statements that do."""

    version: int
    sql: str


def migrations(database: str, after_version: int = 0) -> list[Migration]:
    """The steps of a database, `duckdb` or `postgres`, that lead on from a version, in order."""
    steps = [
        Migration(int(file.name.partition("_")[0]), file.read_text())
        for file in files("worker.stores").joinpath("sql", database).iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(step for step in steps if step.version > after_version)


def newest_version(database: str) -> int:
    """The version that this worker reads and writes."""
    return migrations(database)[-1].version
