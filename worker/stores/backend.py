"""The port to a kind of database: everything that differs between DuckDB and PostgreSQL before a store is open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

from worker.stores.errors import StoreError
from worker.stores.port import Store
from worker.stores.reading import StoreView

Progress = Callable[[int, int], None]
"""Called with the amount done and the total."""


class Backend(ABC):
    """A kind of database. The database need not exist yet.

    Methods raise `StoreError`, and `StoreInUseError` if another process has the database open.

    Modules of backends import no driver: drivers take longer to load than most commands run. Each method imports the
    modules that it needs.
    """

    is_shared: bool
    """Whether any number of processes can work on the database at the same time."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Identity of the store among those of the machine, open or not."""

    @abstractmethod
    def load(self) -> None:
        """Load the modules that `open_store` needs, which takes a tenth of a second."""

    @abstractmethod
    def open_store(self) -> Store:
        """Open the store, and create it if it does not exist."""

    @abstractmethod
    def open_view(self) -> StoreView:
        """Open the store for reading. Raises `NoStoreError` if it does not exist.

        Close it soon: meanwhile, no worker can open a DuckDB store.
        """

    @abstractmethod
    def open_dry_run(self, progress: Progress) -> AbstractContextManager[Store]:
        """Open a store for a dry run: a copy of a DuckDB file, or a snapshot of PostgreSQL.

        `progress` is called with the bytes copied. Raises `NoStoreError` if the store does not exist.
        """

    @abstractmethod
    def redrive_lock(self) -> AbstractContextManager[Callable[[], None]]:
        """Hold the lock that admits one redrive per store. Yields a callable that raises once the lock is lost."""

    @abstractmethod
    def migrate(self) -> tuple[int, int]:
        """Migrate the tables to this worker's version; returns the version before and after."""

    @abstractmethod
    def prove_usable(self) -> None:
        """Open the store and write to it without changing data. Raises `NoStoreError` if it does not exist."""

    def copy_to(self, target: Backend, progress: Progress) -> int:
        """Copy the whole store to an empty database; returns the number of rows. `progress` gets rows copied."""
        del target, progress
        raise StoreError("only a DuckDB store can be copied")
