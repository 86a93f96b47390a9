"""The versions of each database's tables: numbered SQL files, each leading from the version before it.

`sql/<database>/0002_what_it_does.sql` leads from version 1 to 2. A file that has been released is never changed.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

from worker.stores.errors import NewerStoreError, StoreError

STEPS = files("worker.stores").joinpath("sql")


class Migration(NamedTuple):
    """A migration: the version after it, and its statements."""

    version: int
    sql: str


def migrations(database: str, after_version: int = 0) -> list[Migration]:
    """Return the steps of a database, `duckdb` or `postgres`, that follow a version, in order."""
    steps = [
        Migration(int(file.name.partition("_")[0]), file.read_text())
        for file in STEPS.joinpath(database).iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(step for step in steps if step.version > after_version)


def newest_version(database: str) -> int:
    """Return the version that this worker reads and writes."""
    return migrations(database)[-1].version


def require_version(store: str, version: int, ours: int) -> None:
    """Raise `NewerStoreError` or `StoreError`, with the remedy, if a store has another version than ours."""
    if version > ours:
        raise NewerStoreError(
            f"the store {store} has version {version}, this worker supports {ours}. Run the version that migrated it, "
            "or a newer one"
        )
    if version < ours:
        raise StoreError(
            f"the store {store} has version {version}, this worker requires {ours}. Run customer-worker migrate"
        )
