"""DuckDB as a backend: a file, or the memory of one process."""

# ruff: noqa: PLC0415 - see `Backend`

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from typing_extensions import override

from worker.stores.backend import Backend, Progress
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError
from worker.stores.port import Store
from worker.stores.postgres.backend import PostgresBackend
from worker.stores.reading import StoreView


class DuckDBBackend(Backend):
    """The store in the file at `path`, or in memory for `:memory:`."""

    is_shared = False

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_in_memory = path == ":memory:"  # `file.MEMORY`, whose module loads the driver

    @property
    @override
    def identity(self) -> str:
        return self._path if self._is_in_memory else str(Path(self._path).stat().st_ino)

    @override
    def load(self) -> None:
        import worker.stores.duckdb.store  # noqa: F401 - loaded for its effect

    @override
    def open_store(self) -> Store:
        from worker.stores.duckdb.store import DuckDBStore

        return DuckDBStore(self._path)

    @override
    def open_view(self) -> StoreView:
        if self._is_in_memory:
            raise StoreInUseError("the store is in the memory of its worker")
        from worker.stores.duckdb import view

        return view.open_view(self._path)

    @override
    @contextmanager
    def open_dry_run(self, progress: Progress) -> Iterator[Store]:
        from worker.stores.duckdb import copy as duckdb_copy
        from worker.stores.duckdb.store import DuckDBStore

        with duckdb_copy.copied(self._path, progress) as path, closing(DuckDBStore(path)) as store:
            yield store

    @override
    @contextmanager
    def redrive_lock(self) -> Iterator[Callable[[], None]]:
        from worker.stores.duckdb import file

        with file.only_redrive(self._path):
            yield lambda: None  # held as long as this process runs

    @override
    def migrate(self) -> tuple[int, int]:
        from worker.stores.duckdb import file

        return file.migrate_file(self._path)

    @override
    def prove_usable(self) -> None:
        if not self._is_in_memory and not Path(self._path).exists():
            raise NoStoreError(f"there is no store {self._path}")
        self.open_store().close()

    @override
    def copy_to(self, target: Backend, progress: Progress) -> int:
        if not isinstance(target, PostgresBackend):
            raise StoreError("a DuckDB store can be copied to PostgreSQL only")
        from worker.stores import duckdb_to_postgres

        return duckdb_to_postgres.copy_to_postgres(self._path, target.url, target.shown, progress)
