"""Every store in turn, for the one suite that all of them pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.store.databases import DURABLE, EVERY, Database, Factory
from worker.store import Store


@contextmanager
def _opened(factory: Factory, directory: Path) -> Iterator[Database]:
    for database in factory(directory):
        try:
            yield database
        finally:
            database.close()


@pytest.fixture(params=EVERY)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind."""
    with _opened(EVERY[request.param], tmp_path) as opened:
        yield opened


@pytest.fixture(params=DURABLE)
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind that outlives its process."""
    with _opened(DURABLE[request.param], tmp_path) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> Store:
    """A fresh store on it."""
    return database.open()
