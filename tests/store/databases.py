"""The databases under test: how each is opened, and how its tables are read beside the port."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from worker.store import Store
from worker.stores.duckdb import DuckDBStore
from worker.stores.duckdb_file import MEMORY

Rows = list[tuple[Any, ...]]


class Database(Protocol):
    """A database of one test's own."""

    def open(self) -> Store:
        """A store on it; another one is what a restarted worker would get."""

    def rows(self, store: Store, query: str) -> Rows:
        """What a query finds, read beside the port."""

    def close(self) -> None:
        """Let go of every store that was opened."""


@dataclass
class DuckDBDatabase:
    """DuckDB, in a file or in memory."""

    path: str
    _stores: list[DuckDBStore] = field(default_factory=list)

    def open(self) -> DuckDBStore:
        self._stores.append(DuckDBStore(self.path))
        return self._stores[-1]

    def rows(self, store: Store, query: str) -> Rows:
        assert isinstance(store, DuckDBStore)
        return store._db.execute(query).fetchall()

    def close(self) -> None:
        for store in self._stores:
            store.close()


def _duckdb_in_memory(_: Path) -> Iterator[Database]:
    yield DuckDBDatabase(MEMORY)


def _duckdb_in_a_file(directory: Path) -> Iterator[Database]:
    yield DuckDBDatabase(str(directory / "customers.duckdb"))


Factory = Callable[[Path], Iterator[Database]]

DURABLE: dict[str, Factory] = {"duckdb in a file": _duckdb_in_a_file}
"""Databases that outlive the process. A factory gets a directory of the test's own."""
EVERY: dict[str, Factory] = {"duckdb in memory": _duckdb_in_memory, **DURABLE}
