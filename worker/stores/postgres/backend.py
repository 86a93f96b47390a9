"""PostgreSQL as a backend: a database that any number of workers share."""

# ruff: noqa: PLC0415 - see `Backend`

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256

from typing_extensions import override

from worker.stores.backend import Backend, Progress
from worker.stores.port import Store
from worker.stores.reading import StoreView


class PostgresBackend(Backend):
    """The store in the database at `url`; `shown` is that without its secrets, `locks` the kind of its locks."""

    is_shared = True

    def __init__(self, url: str, shown: str, locks: str) -> None:
        self.url = url
        self.shown = shown
        self._locks = locks

    @property
    @override
    def identity(self) -> str:
        # Without passwords, which change. `shown` also masks what distinguishes two stores, such as a search_path.
        without = re.sub(r"^(\w+://[^:@/?#]*):.*@", r"\1@", self.url)
        without = re.sub(r"([?&]\w*password=)[^&]*", r"\1", without)
        return sha256(without.encode()).hexdigest()[:16]

    @override
    def load(self) -> None:
        import worker.stores.postgres.store  # noqa: F401 - loaded for its effect

    @override
    def open_store(self) -> Store:
        from worker.stores.postgres.store import PostgresStore

        return PostgresStore(self.url, self.shown, self._locks)

    @override
    def open_view(self) -> StoreView:
        from worker.stores.postgres import view

        return view.open_view(self.url, self.shown)

    @override
    @contextmanager
    def open_dry_run(self, progress: Progress) -> Iterator[Store]:
        from worker.stores.postgres.dry_run import PostgresDryRun

        with closing(PostgresDryRun(self.url, self.shown)) as store:
            yield store

    @override
    @contextmanager
    def redrive_lock(self) -> Iterator[Callable[[], None]]:
        from worker.stores.postgres import locks

        with locks.only_redrive(self._locks, self.url, self.shown) as require_held:
            yield require_held

    @override
    def migrate(self) -> tuple[int, int]:
        from worker.stores.postgres.store import migrate_store

        return migrate_store(self.url, self.shown)

    @override
    def prove_usable(self) -> None:
        self.open_view().close()  # `open_store` would create a missing store
        self.open_store().close()
