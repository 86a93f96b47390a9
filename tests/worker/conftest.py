"""A store whose clock stands still; and how thoroughly the property tests search.

In CI they search the same examples on every run, elsewhere new ones.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.emptied_store import SharedDatabase
from tests.worker.clock import Clock
from worker.stores.duckdb.store import DuckDBStore

settings.register_profile(
    "usual", deadline=None, max_examples=100, stateful_step_count=12, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", parent=settings.get_profile("usual"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "usual")


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
