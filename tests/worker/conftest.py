"""A store whose clock stands still."""

from collections.abc import Iterator

import pytest

from tests.support.emptied_store import SharedDatabase
from tests.worker.clock import Clock
from worker.stores.duckdb.store import DuckDBStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def shared_database() -> Iterator[SharedDatabase]:
    database = SharedDatabase()
    yield database
    database.close()


@pytest.fixture
def store(shared_database: SharedDatabase, clock: Clock) -> Iterator[DuckDBStore]:
    opened = shared_database.store(clock)
    yield opened
    opened.close()
