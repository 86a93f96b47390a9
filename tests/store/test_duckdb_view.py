"""Views of a DuckDB file that is locked, left by a crash, missing, or overwritten."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.support.builders import ADA, BOB
from tests.support.changes import a_bit_of_everything, prepare
from worker.stores.duckdb import store as store_module
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.duckdb.view import DuckDBView, open_view
from worker.stores.errors import NoStoreError, StoreDamagedError, StoreError, StoreInUseError

KILLED_AFTER_COMMIT = """
import os, signal, sys
from tests.support.changes import a_bit_of_everything, prepare
from worker.stores.duckdb.store import DuckDBStore
store = DuckDBStore(sys.argv[1])
prepare(store)
store.commit(a_bit_of_everything())
os.kill(os.getpid(), signal.SIGKILL)
"""
LOOKING_PROCESS = """
import sys
from worker.stores.duckdb.view import open_view
with open_view(sys.argv[1]) as view:
    print(view.totals().customers, flush=True)
    sys.stdin.readline()
"""
FOREVER = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 <> b.range % 5"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "customers.duckdb"


@pytest.fixture
def store(path: Path) -> Iterator[DuckDBStore]:
    store = DuckDBStore(str(path))
    prepare(store)
    yield store
    store.close()


def digests(path: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.parent.iterdir()}


def test_log_of_a_killed_worker_is_read_and_kept(path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_COMMIT, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    before = digests(path)
    assert f"{path.name}.wal" in before
    with open_view(str(path)) as view:
        assert view.customer(ADA) is not None
        assert view.totals().customers == 2
    assert digests(path) == before
    store = DuckDBStore(str(path))
    assert {customer.customer_id for customer in store.customers([ADA, BOB])} == {ADA, BOB}
    store.close()


def test_view_creates_no_store(path: Path) -> None:
    with pytest.raises(NoStoreError, match=f"there is no store {path}"):
        open_view(str(path))
    assert not path.exists()
    duckdb.connect(str(path)).close()  # as a worker leaves it that is killed at its very first start
    before = digests(path)
    with pytest.raises(NoStoreError, match="is empty"):
        open_view(str(path))
    assert digests(path) == before


def test_store_open_in_another_process_is_in_use(path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_AFTER_COMMIT, str(path)], check=False)
    looking = subprocess.Popen(
        [sys.executable, "-c", LOOKING_PROCESS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with looking:
        assert looking.stdout is not None
        assert looking.stdout.readline() == "2\n"
        with open_view(str(path)) as view:
            assert view.totals().customers == 2, "many may look at once"
        with pytest.raises(StoreInUseError):
            DuckDBStore(str(path))
        looking.communicate("\n")
    writing = DuckDBStore(str(path))
    looked = subprocess.run([sys.executable, "-c", LOOKING_PROCESS, str(path)], capture_output=True, check=False)
    assert b"StoreInUseError" in looked.stderr
    writing.close()


def test_a_store_of_another_version_or_a_damaged_one_is_refused(path: Path) -> None:
    store = DuckDBStore(str(path))
    store._db.execute("UPDATE store_version SET version = 99")
    store.close()
    with pytest.raises(StoreError, match="has version 99"):
        open_view(str(path))
    path.write_bytes(b"no database" * 10_000)
    with pytest.raises(StoreError, match="Restore a backup"):
        open_view(str(path))


def test_damaged_block_is_reported(path: Path) -> None:
    store = DuckDBStore(str(path))
    store._db.execute(
        "INSERT INTO decisions SELECT now(), 't', 0, i, uuid(), 'applied', NULL, uuid() FROM range(200000) _(i)"
    )
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 5)
        file.write(b"\xa5" * (size * 3 // 5))
    with pytest.raises(StoreDamagedError, match="Restore a backup"), open_view(str(path)) as view:
        view.decisions(ADA)


def test_view_is_read_only(store: DuckDBStore) -> None:
    with store.view() as view:
        assert isinstance(view, DuckDBView)
        with pytest.raises(duckdb.Error, match="read-only"):
            view._db.execute("DELETE FROM customers")


def test_query_can_be_interrupted(store: DuckDBStore) -> None:
    with store.view() as view:
        assert isinstance(view, DuckDBView)
        timer = threading.Timer(0.2, view.interrupt)
        timer.start()
        with pytest.raises(StoreError):
            view._rows(FOREVER)
        timer.join()
    view.interrupt()  # of no effect, and no error, once it is closed


def test_checkpoint_blocked_by_a_view_follows_it(
    store: DuckDBStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "CHECKPOINT_AT_WAL_BYTES", 0)
    log = path.with_name(f"{path.name}.wal")
    with store.view() as view:
        customers = view.totals().customers
        store.commit(a_bit_of_everything())
        store.maintain()
        assert log.exists()
        assert view.totals().customers == customers
    store.maintain()
    assert not log.exists()


def test_store_is_closed_despite_an_open_view(store: DuckDBStore, path: Path) -> None:
    view = store.view()
    assert isinstance(view, DuckDBView)
    begun = threading.Event()

    def look() -> None:
        begun.set()
        with view, pytest.raises(StoreError):
            view._rows(FOREVER)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    begun.wait()
    store.close()
    looking.join(30)
    assert not looking.is_alive()
    opened = subprocess.run(
        [sys.executable, "-c", LOOKING_PROCESS, str(path)], input="\n", capture_output=True, text=True, check=False
    )
    assert opened.stdout == "1\n", opened.stderr
