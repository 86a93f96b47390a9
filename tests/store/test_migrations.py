"""Migrations of the tables, with a second step that only tests have, and the refusal of other versions."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner

from tests.newer import NEXT, STEP, TODAY, steps
from tests.store.test_postgres_races import wait_until_it_waits
from tests.support.builders import ADA, BOB, CANCELLATIONS, EVE, SIGNUPS, apply, cancellation, customer, signup
from tests.support.changes import EVENT, a_bit_of_everything, everything_in, ids, journal, prepare
from tests.support.databases import Database, DuckDBDatabase, PostgresDatabase
from tests.support.held_file import held
from tests.support.old_store import LETTER, run, write_old_store
from tests.support.postgres.server import Postgres, fresh_schema
from worker import bootstrap, store_operations
from worker.cli.main import command_line
from worker.errors import Exit, Refusal
from worker.messages.churned_event import churned_id
from worker.messages.log_identity import LogIdentity, RecordMark
from worker.settings import Settings
from worker.stores import migrations
from worker.stores.changes import Changes, RecordCoordinates
from worker.stores.duckdb.file import migrate_file
from worker.stores.errors import NewerStoreError, StoreError
from worker.stores.postgres.connection import migrate
from worker.stores.postgres.dry_run import PostgresDryRun
from worker.stores.postgres.store import PostgresStore, migrate_store


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return a function that makes this process one of the next version; `more` is appended to its step."""
    directory = tmp_path / "sql"

    def become(more: str = "") -> None:
        monkeypatch.setattr(migrations, "STEPS", steps(directory))
        for file in directory.glob(f"*/{STEP}"):
            file.write_text(file.read_text() + more)

    return become


@pytest.fixture
def settings(durable: Database, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings that name the database, and set them in the process's environment."""
    url = f"duckdb:///{durable.path}" if isinstance(durable, DuckDBDatabase) else durable.url  # type: ignore[attr-defined]
    monkeypatch.setenv("CUSTOMER_WORKER_STORE__URL", url)
    monkeypatch.setenv("CUSTOMER_WORKER_HTTP__ENABLED", "false")
    return Settings.read()


def test_tables_with_data_are_migrated_once(durable: Database, settings: Settings, newer: Callable[..., None]) -> None:
    old = durable.open()
    prepare(old)
    old.commit(a_bit_of_everything())
    before = everything_in(durable, old)
    old.close()
    newer()
    with pytest.raises(
        StoreError, match=f"has version {TODAY}, this worker requires {NEXT}. Run customer-worker migrate"
    ):
        durable.open()
    assert store_operations.migrate(settings) == (TODAY, NEXT)
    assert store_operations.migrate(settings) == (NEXT, NEXT)
    new = durable.open()
    assert everything_in(durable, new) == before
    assert durable.rows(new, "SELECT DISTINCT region FROM customers") == [("EU",)]
    new.commit(Changes(positions={(SIGNUPS, 0): 9}))
    assert new.positions()[SIGNUPS, 0] == 9


@pytest.mark.parametrize("version", [1, 2, 3])
def test_store_of_an_earlier_version_goes_on(durable: Database, settings: Settings, version: int) -> None:
    write_old_store(durable, version)
    assert store_operations.migrate(settings) == (version, TODAY)
    store = durable.open()
    found = everything_in(durable, store)
    assert found["journal"] == [
        (CANCELLATIONS, 0, 0, EVE, "parked", None, None),
        (CANCELLATIONS, 0, 1, BOB, "applied", None, EVENT),
        (CANCELLATIONS, 0, 2, EVE, "rejected", "no_signup", None),
        (SIGNUPS, 0, 0, BOB, "applied", None, None),
        (SIGNUPS, 0, 1, ADA, "applied", None, None),
        (SIGNUPS, 0, 2, ADA, "rejected", "signup_conflict", None),
    ]
    assert found["positions"] == {(SIGNUPS, 0): 3, (CANCELLATIONS, 0): 3}
    assert found["ends"] == {("customer.churned", 0): 7}
    assert ids(found["pending"].messages) == [LETTER, EVENT]
    assert found["abandoned"] == {(CANCELLATIONS, 0, 2), (SIGNUPS, 1, 7)}
    mark = RecordMark(2, -5) if version >= 2 else None
    assert store.logs()[SIGNUPS, 0] == LogIdentity(UUID(int=1) if version >= 2 else None, mark)
    assert store.decided([RecordCoordinates(SIGNUPS, 0, offset) for offset in (1, 5)]) == {(SIGNUPS, 0, 1)}
    assert durable.rows(store, "SELECT churn_date, arr FROM customer_arr WHERE churn_date IS NOT NULL") == [
        (date(2026, 6, 30), Decimal("5988.00"))
    ]
    assert durable.rows(store, "SELECT id, state FROM dead_letters") == [(LETTER, "open")]
    with store.view() as view:
        assert view.totals().pending_since == datetime(2026, 7, 1, 10, tzinfo=UTC)

    apply(store, [signup(3, EVE), signup(4, ADA), cancellation(3, ADA)])
    event = churned_id(EVE)
    assert ids(store.pending(1, 10).messages) == [LETTER, EVENT, event, churned_id(ADA)]
    assert list(store.parked([EVE])) == []
    assert [row for row in journal(durable, store) if row[3] in {ADA, EVE} and row[:3] not in OLD] == [
        (CANCELLATIONS, 0, 0, EVE, "parked", None, None),
        (CANCELLATIONS, 0, 0, EVE, "applied", None, event),
        (CANCELLATIONS, 0, 3, ADA, "applied", None, churned_id(ADA)),
        (SIGNUPS, 0, 3, EVE, "applied", None, None),
        (SIGNUPS, 0, 4, ADA, "duplicate", None, None),
    ]
    with store.view() as view:
        assert [(step.offset, step.outcome) for step in view.decisions(EVE)] == [
            (0, "parked"), (2, "rejected"), (3, "applied"), (0, "applied")
        ]  # fmt: skip


KILLED = """
import os, sys
import duckdb
from worker.stores.duckdb import file
from worker.stores.migrations import migrations

db = duckdb.connect(sys.argv[1], config=file._CONFIG)
if sys.argv[2] == "before the commit":
    db.execute("BEGIN")
    db.execute(migrations("duckdb", 3)[0].sql)
else:
    file._migrate(db)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("killed", "version"), [("before the commit", 3), ("after the commit", TODAY)])
def test_killed_migration_is_done_or_goes_on(tmp_path: Path, killed: str, version: int) -> None:
    database = DuckDBDatabase(str(tmp_path / "customers.duckdb"))
    write_old_store(database, 3)
    more = "INSERT INTO customers SELECT uuid(), 'FinTech', 'growth', DATE '2026-01-15', 499, NULL FROM range(50_000)"
    run(database, more)
    ended = subprocess.run([sys.executable, "-c", KILLED, database.path, killed], check=False)
    assert ended.returncode == -9
    assert migrate_file(database.path) == (version, TODAY)
    store = database.open()
    assert len(journal(database, store)) == 6
    assert store.positions() == {(SIGNUPS, 0): 3, (CANCELLATIONS, 0): 3}
    apply(store, [signup(3, EVE), cancellation(3, ADA)])
    assert database.rows(store, "SELECT count(*), count(churn_date) FROM customers") == [(50_003, 3)]
    database.close()


def test_reader_of_the_journal_may_read_the_view(postgres_server: Callable[[], Postgres]) -> None:
    database = PostgresDatabase(fresh_schema(postgres_server()))
    write_old_store(database, 3)
    reader = f"reader_{os.getpid()}"
    run(database, f"CREATE ROLE {reader}; GRANT SELECT ON journal TO {reader}")
    try:
        assert migrate_store(database.url, "postgresql://here") == (3, TODAY)
        with psycopg.connect(database.url) as db:
            [(schema,)] = db.execute("SELECT current_schema").fetchall()
            db.execute(f"GRANT USAGE ON SCHEMA {schema} TO {reader}; SET ROLE {reader}".encode())
            assert db.execute("SELECT count(*) FROM journal").fetchall() == [(6,)]
            db.rollback()
    finally:
        run(database, f"DROP OWNED BY {reader}; DROP ROLE {reader}")


OLD = [(SIGNUPS, 0, 1), (SIGNUPS, 0, 2), (CANCELLATIONS, 0, 2)]


def test_failed_migration_leaves_the_store_unchanged(
    durable: Database, settings: Settings, newer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    today = migrations.STEPS
    store = durable.open()
    prepare(store)
    before = everything_in(durable, store)
    store.close()
    newer("INSERT INTO nowhere VALUES (1);")
    with pytest.raises(Refusal, match="nowhere"):
        store_operations.migrate(settings)
    monkeypatch.setattr(migrations, "STEPS", today)
    store = durable.open()
    assert everything_in(durable, store) == before
    store.close()
    newer()
    assert store_operations.migrate(settings) == (TODAY, NEXT), "once it is mended"


def test_migrate_creates_the_newest_tables(durable: Database, settings: Settings, newer: Callable[..., None]) -> None:
    newer()
    assert store_operations.migrate(settings) == (0, NEXT)
    assert durable.open().positions() == {}


COMMANDS = [
    ("status",),
    ("explain", ADA),
    ("parked", "list"),
    ("parked", "dead-letter", "--older-than", "1d"),
    ("parked", "dead-letter", "--older-than", "1d", "--execute"),
    ("dead-letters", "list"),
    ("dead-letters", "show", "customer.signup/0/0"),
    ("dead-letters", "redrive", "--reason", "invalid"),
    ("dead-letters", "redrive", "--reason", "invalid", "--execute"),
    ("dead-letters", "discard", "--reason", "invalid", "--why", "a test", "--execute"),
    ("replay",),
    ("replay", "--execute"),
    ("migrate",),
]


def test_newer_store_is_refused_at_start_and_by_every_command(
    durable: Database, settings: Settings, newer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    today = migrations.STEPS
    newer()
    store_operations.migrate(settings)
    monkeypatch.setattr(migrations, "STEPS", today)
    says = f"has version {NEXT}, this worker supports {TODAY}. Run the version that migrated it, or a newer one"
    with pytest.raises(Refusal, match=says) as refused:
        bootstrap.open_store(settings)
    assert refused.value.code is Exit.UNREACHABLE
    for command in COMMANDS:
        ended = CliRunner().invoke(command_line(command), list(command))
        assert isinstance(ended.exception, Refusal), (command, ended.output, ended.exception)
        assert (says in str(ended.exception), ended.exception.code) == (True, Exit.UNREACHABLE), command
    check = store_operations.check_store(settings)
    assert (check.is_well, says in check.advice) == (False, True)


def test_unmigrated_store_is_not_copied(tmp_path: Path, newer: Callable[..., None]) -> None:
    database = DuckDBDatabase(str(tmp_path / "customers.duckdb"))
    database.open().close()
    newer()
    source, target = f"duckdb:///{database.path}", "postgresql://nowhere.invalid/customers"
    command = ["store", "copy", source, target]
    ended = CliRunner().invoke(command_line(command), command)
    assert "Run customer-worker migrate" in str(ended.exception)


def test_duckdb_store_in_use_is_not_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "customers.duckdb"
    monkeypatch.setenv("CUSTOMER_WORKER_STORE__URL", f"duckdb:///{path}")
    DuckDBDatabase(str(path)).open().close()
    with held(path):
        ended = CliRunner().invoke(command_line(["migrate"]), ["migrate"])
    assert isinstance(ended.exception, Refusal)
    assert str(ended.exception) == (
        f"the store duckdb:///{path} is in use by a running worker or another command. Stop the worker, run "
        "customer-worker migrate again, then start the worker"
    )


# Beside workers, which PostgreSQL alone can have


@pytest.fixture
def url(postgres_server: Callable[[], Postgres]) -> str:
    return fresh_schema(postgres_server())


@pytest.fixture
def old(url: str) -> Iterator[PostgresStore]:
    """Yield the store of a worker that runs while its tables are migrated, and leads."""
    store = PostgresStore(url, "postgresql://here")
    store._db.execute(f"SET application_name = '{store._db.info.backend_pid}'".encode())
    store.commit(Changes(new_customers={ADA: customer(ADA)}))
    assert store.lead()
    yield store
    store.close()


def test_old_worker_neither_writes_nor_publishes(old: PostgresStore, url: str, newer: Callable[..., None]) -> None:
    newer()
    assert migrate_store(url, "postgresql://here") == (TODAY, NEXT)
    for write in (
        lambda: old.commit(Changes(new_customers={BOB: customer(BOB)})),
        lambda: old.commit(Changes(positions={(SIGNUPS, 0): 1})),
        lambda: old.claim([(SIGNUPS, 0)]),
        lambda: old.pending(0, 10),
        lambda: old.mark_published(1, {}),
        lambda: old.keep_receipts(["a"], {}),
        old.lead,
        old.reopen,
    ):
        with pytest.raises(NewerStoreError, match=f"has version {NEXT}, this worker supports {TODAY}"):
            write()
    new = PostgresDatabase(url)
    store = new.open()
    assert store.lead(), "the old worker gave it up"
    assert new.rows(store, "SELECT customer_id::text, region FROM customers") == [(ADA, "EU")]
    assert (store.positions(), store.published_seq) == ({}, 0)
    new.close()


def test_migration_waits_for_a_running_commit(old: PostgresStore, url: str, newer: Callable[..., None]) -> None:
    newer()
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url, autocommit=True) as watching:
        with old._db.transaction():
            old.commit(Changes(new_customers={BOB: customer(BOB)}))
            doing = pool.submit(migrate_store, url, "postgresql://here")
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'store_version'::regclass"
            while watching.execute(query).fetchall() == [(0,)]:
                assert not doing.done(), "it did not wait"
        assert doing.result(timeout=30) == (TODAY, NEXT)
        found = watching.execute("SELECT customer_id::text, region FROM customers ORDER BY 1").fetchall()
    assert found == sorted([(ADA, "EU"), (BOB, "EU")])


def test_commit_during_a_migration_waits_and_writes_nothing(
    old: PostgresStore, url: str, newer: Callable[..., None]
) -> None:
    newer()
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url, autocommit=True) as watching:
        with psycopg.connect(url, autocommit=True) as migrating, migrating.transaction():
            assert migrate(migrating) == (TODAY, NEXT)  # in the transaction around it
            doing: Future[object] = pool.submit(old.commit, Changes(new_customers={BOB: customer(BOB)}))
            wait_until_it_waits(old, watching, doing)
        assert isinstance(doing.exception(timeout=30), NewerStoreError)
        assert watching.execute("SELECT customer_id::text FROM customers").fetchall() == [(ADA,)]


def test_migration_waits_for_locks_with_a_limit(
    old: PostgresStore, url: str, newer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.stores.postgres.connection.MIGRATE_WAITS_SECONDS", 1)
    trial = PostgresDryRun(url, "postgresql://here")
    newer()
    with pytest.raises(StoreError, match=r"could not be locked within 1 s: .* Run customer-worker migrate again"):
        migrate_store(url, "postgresql://here")
    trial.close()
    old.commit(Changes(new_customers={BOB: customer(BOB)}))
    assert migrate_store(url, "postgresql://here") == (TODAY, NEXT)
