"""PgBouncer between worker and PostgreSQL: session mode works, shared sessions are refused."""

from collections.abc import Callable
from contextlib import closing, suppress

import psycopg
import pytest

from tests.support.builders import ADA, BOB, customer
from tests.support.changes import EVENT, a_bit_of_everything, prepare
from tests.support.postgres.pooler import Pooler, pgbouncer, running_pooler
from tests.support.postgres.server import Postgres, fresh_schema
from worker import bootstrap, store_operations
from worker.errors import Exit, Refusal
from worker.settings import Settings
from worker.stores.changes import Changes
from worker.stores.errors import StoreError, StoreInUseError
from worker.stores.postgres import pooler as postgres_pooler
from worker.stores.postgres.dry_run import PostgresDryRun
from worker.stores.postgres.locks import only_redrive
from worker.stores.postgres.store import PostgresStore, migrate_store

HERE = "postgresql://here"
SHARED = "a pooler changes the session between transactions"


@pytest.fixture
def direct(postgres_server: Callable[[], Postgres]) -> str:
    """Return a store's address without the pooler."""
    return fresh_schema(postgres_server())


@pytest.fixture(params=["advisory", "rows"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def fill(pooler: Pooler, count: int) -> None:
    """Leave so many idle server connections in the pool."""
    clients = [psycopg.connect(pooler.url(""), autocommit=True) for _ in range(count)]
    for client in clients:
        client.execute("BEGIN")
    for client in clients:
        client.execute("ROLLBACK")
        client.close()


def test_session_mode_supports_every_operation(direct: str, kind: str) -> None:
    with running_pooler(direct, pool_mode="session", default_pool_size=10) as pooler:
        url = pooler.url(direct)
        one, other = PostgresStore(url, HERE, kind), PostgresStore(url, HERE, kind)
        with closing(one), closing(other):
            assert one._db.execute("SELECT pg_backend_pid()").fetchall() != [(one._db.info.backend_pid,)], "not pooled"
            assert [one.lead(), other.lead(), one.lead()] == [True, False, True]
            prepare(one)
            other.commit(a_bit_of_everything())
            assert [message.id for message in one.pending(0, 10).messages] == ["old", "new 1", EVENT]
            one.reopen()
            one.close()
            assert other.lead()
            with closing(other.view()) as view:
                assert view.totals().customers == 2
            with closing(PostgresDryRun(url, HERE)) as trial:
                assert trial.positions() == other.positions()
            with (
                only_redrive(kind, url, HERE),
                pytest.raises(StoreInUseError),
                only_redrive(kind, url, HERE),
            ):
                pass
    with psycopg.connect(direct) as db:
        assert db.execute("SELECT count(*) FROM customers").fetchall() == [(2,)], "in the schema that `options` names"


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize(("size", "idle", "in_turn"), [(1, 0, 0), (4, 0, 0), (4, 4, 0), (4, 4, 1), (4, 1, 1)])
def test_shared_sessions_are_refused(direct: str, mode: str, size: int, idle: int, in_turn: int) -> None:
    with running_pooler(direct, pool_mode="session", default_pool_size=size, server_round_robin=in_turn) as pooler:
        fill(pooler, idle)
        pooler.reconfigure(
            pool_mode=mode, default_pool_size=size, server_round_robin=in_turn, server_reset_query_always=0
        )
        url = pooler.url(direct)
        for opened in (
            lambda: PostgresStore(url, HERE),
            lambda: PostgresStore(url, HERE, "rows"),
            lambda: migrate_store(url, HERE),
            lambda: PostgresDryRun(url, HERE),
        ):
            with pytest.raises(StoreError, match=SHARED):
                opened()
        with pytest.raises(StoreError, match=SHARED), only_redrive("rows", url, HERE):
            pass


def test_a_command_ends_with_the_advice(direct: str) -> None:
    with running_pooler(direct, pool_mode="transaction", default_pool_size=4) as pooler:
        settings = Settings(store={"url": pooler.url(direct)})  # type: ignore[arg-type]
        with pytest.raises(Refusal, match="Set PgBouncer's pool_mode to session") as refusal:
            bootstrap.open_store(settings)
        check = store_operations.check_store(settings)
        assert (refusal.value.code, check.is_well, check.advice) == (Exit.UNREACHABLE, False, str(refusal.value))


def test_refused_connection_leaves_no_setting_behind(direct: str) -> None:
    with running_pooler(direct, pool_mode="transaction", default_pool_size=1) as pooler:
        with pytest.raises(StoreError, match=SHARED):
            PostgresStore(pooler.url(direct), HERE)
        with psycopg.connect(pooler.url(""), autocommit=True) as db:
            query = "SELECT current_setting('row_security'), current_setting('statement_timeout')"
            assert db.execute(query).fetchall() == [("on", "0")]


def test_pooler_reconfigured_under_a_worker_stops_it(direct: str, kind: str) -> None:
    with running_pooler(direct, pool_mode="session", default_pool_size=8) as pooler:
        store = PostgresStore(pooler.url(direct), HERE, kind)
        committed = 0
        with closing(store):
            assert store.lead()
            pooler.reconfigure(pool_mode="transaction", default_pool_size=8)
            lost = f"{SHARED}|a pooler changed the session"
            with suppress(StoreError):
                store.lead()  # which may still have its session
            with pytest.raises(StoreError, match=lost):
                store.lead()
            with suppress(StoreError):
                store.commit(Changes(new_customers={ADA: customer(ADA)}))
                committed += 1
            with pytest.raises(StoreError, match=lost):
                store.commit(Changes(new_customers={BOB: customer(BOB)}))
            with pytest.raises(StoreError, match=SHARED):
                store.reopen()
    with psycopg.connect(direct) as db:
        assert db.execute("SELECT count(*) FROM customers").fetchall() == [(committed,)]


def test_session_without_its_mark_stops_commits_and_leadership(direct: str) -> None:
    store = PostgresStore(direct, HERE)
    with closing(store):
        assert store.lead()
        session = store._locks._session  # type: ignore[attr-defined]
        for db in (store._db, session):
            db.execute("RESET customer_worker.connection")  # as that of another client has none, or another one
        for do in (
            lambda: prepare(store),
            lambda: store.claim([("customer.signup", 0)]),
            lambda: store.mark_published(1, {}),
            store.lead,
        ):
            with pytest.raises(StoreError, match=SHARED):
                do()
        assert not list(store.customers([BOB]))
        store.reopen()
        assert store.lead()
        prepare(store)


def test_full_pool_is_an_error_in_time(direct: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_pooler, "ANSWER_SECONDS", 0.5)
    with (
        running_pooler(direct, pool_mode="session", default_pool_size=1) as pooler,
        pytest.raises(StoreError, match="set default_pool_size to at least four for each worker"),
    ):
        PostgresStore(pooler.url(direct), HERE)


def test_option_refused_by_a_pooler_is_named(direct: str) -> None:
    with running_pooler(direct, pool_mode="session") as pooler:
        url = pooler.url(direct).partition("?")[0] + "?options=-B%2016"
        with pytest.raises(StoreError, match=r"unsupported startup parameter.*PgBouncer's ignore_startup_parameters"):
            PostgresStore(url, HERE)


def test_machine_without_pgbouncer_fails_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("tests.support.postgres.pooler.PLACES", ())
    with pytest.raises(RuntimeError, match=r"PgBouncer is not installed\. Install the package pgbouncer"):
        pgbouncer()
