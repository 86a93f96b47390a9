"""The databases under test: how each is opened, and how its tables are read beside the port."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.support.postgres.server import Postgres, fresh_schema
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.port import Store
from worker.stores.postgres.store import PostgresStore

Rows = list[tuple[Any, ...]]


class Database(Protocol):
    """A database of one test's own. `numbers_at_commit`: a commit already says which rows of the outbox it added."""

    numbers_at_commit: bool

    def open(self) -> Store:
        """Open a store on the database; each call returns what a restarted worker would get."""

    def rows(self, store: Store, query: str) -> Rows:
        """Return the rows of a query, read without the port."""

    def close(self) -> None:
        """Let go of every store that was opened."""


@dataclass
class DuckDBDatabase:
    """DuckDB, in a file or in memory."""

    path: str
    numbers_at_commit = True
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


@dataclass
class PostgresDatabase:
    """PostgreSQL, in a schema of its own."""

    url: str
    locks: str = "advisory"
    numbers_at_commit = False
    _stores: list[PostgresStore] = field(default_factory=list)

    def open(self) -> PostgresStore:
        self._stores.append(PostgresStore(self.url, "postgresql://here", self.locks))
        return self._stores[-1]

    def rows(self, store: Store, query: str) -> Rows:
        assert isinstance(store, PostgresStore)
        return store._db.execute(query.encode()).fetchall()

    def close(self) -> None:
        for store in self._stores:
            store.close()


def _duckdb_in_memory(_: Path, __: Callable[[], Postgres]) -> Iterator[Database]:
    yield DuckDBDatabase(MEMORY)


def _duckdb_in_a_file(directory: Path, _: Callable[[], Postgres]) -> Iterator[Database]:
    yield DuckDBDatabase(str(directory / "customers.duckdb"))


def _postgres(_: Path, server: Callable[[], Postgres]) -> Iterator[Database]:
    yield PostgresDatabase(fresh_schema(server()))


def _postgres_with_row_locks(_: Path, server: Callable[[], Postgres]) -> Iterator[Database]:
    yield PostgresDatabase(fresh_schema(server()), "rows")


Factory = Callable[[Path, Callable[[], Postgres]], Iterator[Database]]

DURABLE: dict[str, Factory] = {"duckdb in a file": _duckdb_in_a_file, "postgresql": _postgres}
"""Databases that outlive the process. A factory gets a directory of the test's own, and a way to PostgreSQL."""
EVERY: dict[str, Factory] = {
    "duckdb in memory": _duckdb_in_memory,
    "postgresql with row locks": _postgres_with_row_locks,
    **DURABLE,
}
