"""Failures of a DuckDB file: locked, damaged, of another version, readable by others, or huge."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.support.builders import ADA, BOB, SIGNUPS, customer
from tests.support.changes import EVENT, ids, outgoing
from worker.failpoints import VARIABLE
from worker.stores.changes import Changes, JournalRow
from worker.stores.duckdb import store as store_module
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import StoreError
from worker.stores.migrations import newest_version

OTHER_PROCESS = """
import sys
from worker.stores.duckdb.store import DuckDBStore
store = DuckDBStore(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
"""
COMMITTING_PROCESS = """
import sys
from tests.support.changes import a_bit_of_everything, prepare
from worker.stores.duckdb.store import DuckDBStore
store = DuckDBStore(sys.argv[1])
prepare(store)
store.commit(a_bit_of_everything())
print("done", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "customers.duckdb"


@pytest.fixture(scope="module")
def _content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("written") / "customers.duckdb"
    store = DuckDBStore(str(path))
    rows = [JournalRow(SIGNUPS, 0, number, None, "rejected", "invalid") for number in range(50_000)]
    store.commit(Changes(new_customers={ADA: customer(ADA)}, journal=rows, positions={(SIGNUPS, 0): 50_000}))
    store.close()
    return path.read_bytes()


@pytest.fixture
def written(path: Path, _content: bytes) -> Path:
    """Write a file with enough in it that it can be damaged in many places."""
    path.write_bytes(_content)
    return path


@pytest.fixture
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_file_in_use_by_another_process_is_refused(path: Path) -> None:
    command = [sys.executable, "-c", OTHER_PROCESS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreError) as refused:
            DuckDBStore(str(path))
        other.communicate("\n")
    assert str(refused.value) == (
        f"the store {path} is in use by another process. Stop that process first, "
        "or set another store (CUSTOMER_WORKER_STORE__URL)"
    )
    DuckDBStore(str(path)).close()


VERSION = newest_version("duckdb")


@pytest.mark.parametrize("version", [VERSION + 1, VERSION + 98], ids=["the next", "a far one"])
def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path, version: int) -> None:
    DuckDBStore(str(path)).close()
    with duckdb.connect(str(path)) as db:
        db.execute("UPDATE store_version SET version = ?", [version])
    with pytest.raises(
        StoreError, match=f"has version {version}, this worker supports {VERSION}. Run the version that"
    ):
        DuckDBStore(str(path))
    with duckdb.connect(str(path)) as db:  # it let go of the file
        assert db.execute("SELECT version FROM store_version").fetchall() == [(version,)]


OVERWRITTEN = {
    "by a text": b"hello, this is no database\n" * 1000,
    "by a short text": b"hello",
    "by nothing": b"",
    "by zeros": bytes(1_000_000),
}


@pytest.mark.parametrize("content", OVERWRITTEN.values(), ids=OVERWRITTEN)
def test_overwritten_file_is_refused_with_advice(written: Path, content: bytes) -> None:
    written.write_bytes(content)
    with pytest.raises(StoreError, match=rf"the store {written} .*\. Restore a backup, or delete it to rebuild it$"):
        DuckDBStore(str(written))
    assert written.read_bytes() == content


@pytest.mark.parametrize("size", [100, 4096, 8192, 12288, 0.3, 0.5], ids=lambda size: f"to {size}")
def test_truncated_file_is_refused_with_advice(written: Path, size: float) -> None:
    os.truncate(written, int(size if size > 1 else size * written.stat().st_size))
    with pytest.raises(StoreError, match=rf"the store {written} .*\. Restore a backup, or delete it to rebuild it$"):
        DuckDBStore(str(written))


@pytest.mark.parametrize("place", [0, 4096, 12288], ids=lambda place: f"at {place}")
def test_file_with_garbage_is_refused_with_advice(written: Path, place: int) -> None:
    with written.open("r+b") as file:
        file.seek(place)
        file.write(b"\xa5" * 8192)
    with pytest.raises(StoreError, match=rf"the store {written} .*\. Restore a backup, or delete it to rebuild it$"):
        DuckDBStore(str(written))


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.65, 0.8])
def test_damaged_block_is_found_at_start(written: Path, share: float) -> None:
    size = written.stat().st_size
    with written.open("r+b") as file:
        file.seek(int(share * size))
        file.write(b"\xa5" * (size // 5))
    with pytest.raises(StoreError, match=rf"the store {written} .*\. Restore a backup, or delete it to rebuild it$"):
        DuckDBStore(str(written))


def test_refused_file_can_be_replaced_without_a_restart(written: Path) -> None:
    good = written.read_bytes()
    written.write_bytes(b"hello")
    with pytest.raises(StoreError):
        DuckDBStore(str(written))
    written.write_bytes(good)
    store = DuckDBStore(str(written))
    assert store.positions() == {(SIGNUPS, 0): 50_000}
    store.close()


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        DuckDBStore(str(tmp_path / "nowhere" / "customers.duckdb"))


@pytest.mark.usefixtures("_usual_umask")
def test_files_are_readable_by_their_owner_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "CHECKPOINT_AT_WAL_BYTES", 1)
    store = DuckDBStore(str(path))
    for customer_id in (ADA, BOB):
        store.commit(Changes(new_customers={customer_id: customer(customer_id)}))
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
        assert modes == {"customers.duckdb": "0o600", "customers.duckdb.wal": "0o600"}
        store.maintain()  # the log is folded in, and begins anew
    store.close()


@pytest.mark.parametrize(
    ("limit", "reached"), [("CHECKPOINT_AT_WAL_BYTES", 100_000), ("CHECKPOINT_AT_DECISIONS", 19_000)]
)
def test_large_log_is_checkpointed_between_batches(
    path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, reached: int
) -> None:
    wal = path.with_name(path.name + ".wal")
    store = DuckDBStore(str(path))
    rows = [JournalRow(SIGNUPS, 0, number, None, "rejected", "invalid") for number in range(20_000)]
    store.commit(Changes(new_customers={ADA: customer(ADA)}, journal=rows))
    before = wal.stat().st_size
    assert before > 100_000
    store.maintain()
    assert wal.stat().st_size == before
    monkeypatch.setattr(store_module, limit, reached)
    store.maintain()
    assert not wal.exists() or wal.stat().st_size < 100_000
    store.commit(Changes(journal=rows[:10]))
    begun = wal.stat().st_size
    store.maintain()
    assert wal.stat().st_size == begun, "a log just begun is left to grow"
    assert [found.customer_id for found in store.customers([ADA])] == [ADA]
    store.close()


def test_commit_runs_no_checkpoint(path: Path) -> None:
    store = DuckDBStore(str(path))
    sizes = []
    for number in range(5):
        rows = [JournalRow(SIGNUPS, number, n, None, "rejected", "invalid") for n in range(60_000)]
        store.commit(Changes(journal=rows))
        sizes.append(path.with_name(path.name + ".wal").stat().st_size)
    store.close()
    assert sizes == sorted(sizes)
    assert sizes[-1] > 20_000_000  # DuckDB's own limit is 16 MiB


def test_a_store_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = DuckDBStore(MEMORY)
    store.commit(Changes(new_customers={ADA: customer(ADA)}))
    store.maintain()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_stores_in_memory_are_separate() -> None:
    one, other = DuckDBStore(MEMORY), DuckDBStore(MEMORY)
    one.commit(Changes(new_customers={ADA: customer(ADA)}))
    assert list(other.customers([ADA])) == []


@pytest.mark.parametrize(
    "statement",
    [
        "SET enable_external_access = true",
        "SET threads = 8",
        "COPY customers TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "SELECT * FROM read_csv('/etc/hostname')",
        "INSTALL httpfs",
        "LOAD httpfs",
    ],
)
def test_the_database_cannot_reach_outside_its_file(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(duckdb.Error):
        DuckDBStore(MEMORY)._db.execute(statement)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("failpoint", "customers", "pending"),
    [("before-commit:2", [BOB], ["old"]), ("after-commit:2", [BOB, ADA], ["old", "new 1", EVENT])],
    ids=["before the commit", "after the commit"],
)
def test_kill_around_a_commit_leaves_all_or_nothing(
    path: Path, failpoint: str, customers: list[str], pending: list[str]
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", COMMITTING_PROCESS, str(path)],
        env=os.environ | {VARIABLE: failpoint},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (killed.returncode, killed.stdout, killed.stderr) == (-9, "", "")
    store = DuckDBStore(str(path))
    assert sorted(found.customer_id for found in store.customers([ADA, BOB])) == sorted(customers)
    assert ids(store.pending(0, 10).messages) == pending
    seq = 2 if failpoint.startswith("before") else 5
    assert store.commit(Changes(outbox=[outgoing("next")])).rows == range(seq, seq + 1)
    store.close()


def test_driver_error_names_the_store_and_keeps_its_cause(path: Path) -> None:
    store = DuckDBStore(str(path))
    with pytest.raises(StoreError, match=f"the store {path} failed: ") as failed:
        store.commit(Changes(journal=[JournalRow(SIGNUPS, 0, 0, "no uuid", "applied", None)]))
    assert isinstance(failed.value.__cause__, duckdb.Error)
    assert "\n" not in str(failed.value)
    store.close()


def test_copied_file_has_another_identity(path: Path, tmp_path: Path) -> None:
    first = DuckDBStore(str(path))
    name = first.exclusive_id
    first.close()
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(path.read_bytes())
    again, copied = DuckDBStore(str(path)), DuckDBStore(str(copy))
    assert again.exclusive_id == name
    assert copied.exclusive_id != name
    again.close()
    copied.close()


def test_mark_that_could_not_be_written_outlives_the_connection(path: Path) -> None:
    store = DuckDBStore(str(path))
    store.commit(Changes(outbox=[outgoing("a")]))
    store.mark_published(1, {("t", 0): 5})
    store._db.close()
    store.reopen()
    assert (store.published_seq, store.output_ends()) == (1, {("t", 0): 5})
    store.close()
