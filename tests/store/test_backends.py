"""The backend of each address, and its operations before a store is open."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.changes import prepare
from tests.support.postgres.server import Postgres, fresh_schema
from worker import bootstrap, store_operations
from worker.errors import Exit, Refusal
from worker.redrive.lock import redrive_lock
from worker.settings import Settings
from worker.settings import Store as StoreSettings
from worker.stores.backend import Backend
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError

Server = Callable[[], Postgres]


def settings(url: str) -> Settings:
    return Settings(store=StoreSettings(url=SecretStr(url)))


def at(url: str) -> Backend:
    return bootstrap.backend(settings(url).store)


@pytest.fixture(params=["duckdb", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres_server: Server) -> str:
    """Return an address where there is no store yet."""
    return f"duckdb:///{tmp_path}/it" if request.param == "duckdb" else fresh_schema(postgres_server())


def test_drivers_are_not_loaded_before_a_store_is_opened() -> None:
    program = (
        "import sys; from worker.bootstrap import backend; from worker.settings import Settings\n"
        "backend(Settings().store); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "worker.stores.duckdb.backend" in loaded
    assert not {"duckdb", "psycopg"}.intersection(loaded)


def test_store_and_backend_agree_on_sharing(url: str) -> None:
    backend = at(url)
    store = backend.open_store()
    assert backend.is_shared == store.is_shared == url.startswith("postgresql")
    store.close()


def test_view_of_a_missing_store_creates_none(url: str) -> None:
    backend = at(url)
    with pytest.raises(NoStoreError):
        backend.open_view()
    with pytest.raises(NoStoreError):
        backend.prove_usable()
    with pytest.raises(NoStoreError), backend.open_dry_run(tell):
        pass
    check = store_operations.check_store(settings(url))
    assert check.is_well
    assert check.found.endswith("created at the first start")


def test_identity_is_that_of_one_store(url: str) -> None:
    other = f"{url}x"
    if url.startswith("duckdb"):  # a file has none before it exists
        for each in (url, other):
            at(each).open_store().close()
    assert at(url).identity == at(url).identity
    assert at(url).identity != at(other).identity


def test_changes_of_a_dry_run_are_gone_afterwards(url: str) -> None:
    store = at(url).open_store()
    store.close()
    with at(url).open_dry_run(tell) as trial:
        prepare(trial)
        assert trial.positions()
    reopened = at(url).open_store()
    assert not reopened.positions()
    reopened.close()


def test_one_redrive_per_store(url: str) -> None:
    at(url).open_store().close()
    with redrive_lock(settings(url)) as require_held:
        require_held()
        with pytest.raises(StoreInUseError), at(url).redrive_lock():
            pass
        with pytest.raises(Refusal) as refused, redrive_lock(settings(url)):
            pass
        assert refused.value.code is Exit.NO
    with at(url).redrive_lock():
        pass


def test_store_in_memory_is_read_in_its_worker() -> None:
    backend = at("duckdb://:memory:")
    backend.prove_usable()
    with pytest.raises(StoreInUseError):
        backend.open_view()


def test_store_is_copied_from_duckdb_to_postgresql_only(tmp_path: Path, postgres_server: Server) -> None:
    file, database = f"duckdb:///{tmp_path}/it", fresh_schema(postgres_server())
    store = at(file).open_store()
    prepare(store)
    store.close()
    for source, target in [(file, file), (database, database), (database, file)]:
        with pytest.raises(Refusal) as refused:
            store_operations.copy_store(settings(source).store, settings(target).store, tell)
        assert refused.value.code is Exit.USAGE
        with pytest.raises(StoreError):
            at(source).copy_to(at(target), tell)
    assert store_operations.copy_store(settings(file).store, settings(database).store, tell) > 0


def tell(done: int, total: int) -> None:
    assert 0 <= done <= total
