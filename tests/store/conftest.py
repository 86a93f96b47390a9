"""Every store in turn, for the one suite that all of them pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.databases import DURABLE, EVERY, Database, Factory
from tests.support.postgres.server import Postgres
from worker.stores.port import Store


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Callable[[], Postgres]:
    """Return a function that starts the shared PostgreSQL, for the databases that need it."""

    def server() -> Postgres:
        postgres: Postgres = request.getfixturevalue("postgres")
        return postgres

    return server


@contextmanager
def _opened(factory: Factory, directory: Path, postgres: Callable[[], Postgres]) -> Iterator[Database]:
    for database in factory(directory, postgres):
        try:
            yield database
        finally:
            database.close()


@pytest.fixture(params=EVERY)
def database(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: Callable[[], Postgres]
) -> Iterator[Database]:
    """Yield a database of each kind."""
    with _opened(EVERY[request.param], tmp_path, postgres_server) as opened:
        yield opened


@pytest.fixture(params=DURABLE)
def durable(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: Callable[[], Postgres]
) -> Iterator[Database]:
    """Yield a database of each kind that outlives its process."""
    with _opened(DURABLE[request.param], tmp_path, postgres_server) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> Store:
    """Return a fresh store on the database."""
    return database.open()
