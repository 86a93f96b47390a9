"""A store whose clock stands still; and how thoroughly the property tests search.

In CI they search the same examples on every run, elsewhere new ones.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.worker.clock import Clock
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore

settings.register_profile(
    "usual", deadline=None, max_examples=100, stateful_step_count=12, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", parent=settings.get_profile("usual"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "usual")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Iterator[DuckDBStore]:
    opened = DuckDBStore(MEMORY, clock)
    yield opened
    opened.close()
