"""The port to a kind of database: everything that differs between DuckDB and PostgreSQL before a store is open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

from worker.stores.errors import StoreError
from worker.stores.port import Store
from worker.stores.reading import StoreView

Tell = Callable[[int, int], None]
"""Is called with how much is done, and of how much."""


class Backend(ABC):
    """A database that need not exist yet.

    Methods raise `StoreError`, and `StoreInUseError` where another process has it.

    Its module imports no driver: drivers take longer to load than most commands take for their answer. Each method
    imports what it needs.
    """

    is_shared: bool
    """Whether any number of processes can work on the database at the same time."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Identity of the store among those of the machine, open or not."""

    @abstractmethod
    def open_store(self) -> Store:
        """Open the store; made where there is none."""

    @abstractmethod
    def open_view(self) -> StoreView:
        """Open the store for reading. Raises `NoStoreError` where there is none.

        To be closed soon: a DuckDB worker does not start meanwhile.
        """

    @abstractmethod
    def open_dry_run(self, tell: Tell) -> AbstractContextManager[Store]:
        """Open a store to try something out on: a copy of a DuckDB file, or PostgreSQL as it is at one moment.

        `tell` is called with the bytes copied. Raises `NoStoreError` where there is no store.
        """

    @abstractmethod
    def redrive_lock(self) -> AbstractContextManager[Callable[[], None]]:
        """Hold the lock of the one redrive beside the store. Yields a callable that raises once the lock is lost."""

    @abstractmethod
    def migrate(self) -> tuple[int, int]:
        """Bring the tables to this worker's version; returns the version before and after."""

    @abstractmethod
    def prove_usable(self) -> None:
        """Open the store and write to it without changing anything. Raises `NoStoreError` where there is none."""

    def copy_to(self, target: Backend, tell: Tell) -> int:
        """Copy the whole store to an empty database; returns the number of rows. `tell` is called with rows copied."""
        del target, tell
        raise StoreError("only a DuckDB store can be copied")
