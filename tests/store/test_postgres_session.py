"""Settings of PostgreSQL sessions are set or verified, whatever the server's defaults are."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest

from tests.support.builders import ADA, EVE, customer
from tests.support.changes import EVENT, a_bit_of_everything, ids, parked, prepare, waiting
from tests.support.postgres.server import Postgres, fresh_schema, postgres_from_the_wheel
from worker import bootstrap, store_operations
from worker.consumer.applier import RETRY_FOR_SECONDS
from worker.errors import Exit, Refusal
from worker.settings import Settings
from worker.stores.changes import Changes
from worker.stores.errors import StoreConflictError, StoreError
from worker.stores.postgres import session
from worker.stores.postgres.connection import Connection, connect
from worker.stores.postgres.dry_run import PostgresDryRun
from worker.stores.postgres.store import PostgresStore, migrate_store
from worker.stores.postgres.view import PostgresView

HERE = "postgresql://here"
HOSTILE = {
    "default_transaction_isolation": "repeatable read",
    "synchronous_commit": "off",
    "statement_timeout": "1s",
    "lock_timeout": "1s",
    "transaction_timeout": "1s",
    "idle_in_transaction_session_timeout": "1s",
    "idle_session_timeout": "1s",
    "row_security": "on",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "bytea_output": "escape",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Kathmandu",
}


class User:
    """A user of one test's own; `url` is the store's address as theirs."""

    def __init__(self, store_url: str, rights: str = "SUPERUSER") -> None:
        self._store_url = store_url
        self.schema = store_url.rpartition("%3D")[2]
        self.name = f"u_{self.schema}"
        self.do(f"CREATE ROLE {{}} LOGIN {rights}")
        parts = urlsplit(store_url)
        self.url = urlunsplit(parts._replace(netloc=f"{self.name}@{parts.netloc.rpartition('@')[2]}"))

    def do(self, *statements: str) -> None:
        """As the owner; `{}` is the user."""
        with psycopg.connect(self._store_url, autocommit=True) as db:
            for statement in statements:
                db.execute(statement.format(self.name).encode())

    def drop(self) -> None:
        self.do("DROP OWNED BY {}", "DROP ROLE {}")


@pytest.fixture
def url(postgres_server: Callable[[], Postgres]) -> str:
    return fresh_schema(postgres_server())


@pytest.fixture
def user(url: str) -> Iterator[User]:
    user = User(url)
    yield user
    user.drop()


@pytest.fixture
def hostile(user: User) -> User:
    """Return a user whose defaults are all other than the store needs."""
    for name, value in HOSTILE.items():
        user.do(f"ALTER ROLE {{}} SET {name} = '{value}'")
    return user


def values(db: Connection, names: object) -> dict[str, str]:
    query = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)"
    return dict(db.execute(query, [list(names)]).fetchall())  # type: ignore[call-overload]


def lock_session(store: PostgresStore) -> Connection:
    assert store.lead() in (True, False)
    found: Connection = store._locks._session  # type: ignore[attr-defined]
    return found


def test_every_setting_has_a_hostile_value_and_a_reason() -> None:
    assert HOSTILE.keys() == session.SETTINGS.keys()
    assert all(setting.why for setting in session.SETTINGS.values())


def test_locks_of_a_frozen_worker_end_before_the_retries() -> None:
    assert 2 * int(session.WRITING["transaction_timeout"].removesuffix("s")) <= RETRY_FOR_SECONDS


def test_every_connection_has_the_settings(hostile: User) -> None:
    wanted = {name: setting.value for name, setting in session.SETTINGS.items()}
    with closing(PostgresStore(hostile.url, HERE)) as store, closing(PostgresStore(hostile.url, HERE, "rows")) as rows:
        assert values(store._db, wanted) == wanted | {
            "idle_in_transaction_session_timeout": "10s",
            "transaction_timeout": "30s",
        }
        assert values(store._db, ["jit"]) == {"jit": "off"}
        assert values(lock_session(store), wanted) == wanted | {"idle_session_timeout": "5s"}
        assert values(lock_session(rows), wanted) == wanted
        with closing(PostgresView(hostile.url, HERE, lambda _: None)) as view:
            assert values(view._db, wanted) == wanted
        with closing(PostgresDryRun(hostile.url, HERE)) as trial:
            assert values(trial._db, wanted) == wanted
        with closing(connect(hostile.url)) as db:
            assert values(db, wanted) == wanted


def test_reload_of_other_defaults_changes_no_session(postgres_server: Callable[[], Postgres], url: str) -> None:
    wanted = {name: setting.value for name, setting in session.SETTINGS.items()}
    with closing(connect(url)) as db, psycopg.connect(url, autocommit=True) as admin:
        changed = HOSTILE | {name: "5min" for name in HOSTILE if name.endswith("_timeout")}
        for name, value in changed.items():
            admin.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        try:
            admin.execute("SELECT pg_reload_conf()")
            with psycopg.connect(url) as other:  # which has the new defaults, so that they are read
                assert other.info.encoding == "iso8859-1"
            assert values(db, wanted) == wanted
        finally:
            for name in changed:
                admin.execute(f"ALTER SYSTEM RESET {name}".encode())
            admin.execute("SELECT pg_reload_conf()")


def test_migrate_under_hostile_defaults(hostile: User) -> None:
    assert migrate_store(hostile.url, HERE)[0] == 0


def test_store_works_under_hostile_defaults(hostile: User) -> None:
    with closing(PostgresStore(hostile.url, HERE)) as store:
        assert store.lead()
        prepare(store)
        store.commit(a_bit_of_everything())
        assert ids(store.pending(0, 10).messages) == ["old", "new 1", EVENT]
        assert store.positions() == {("customer.signup", 0): 2, ("customer.cancellation", 0): 3}
        with closing(store.view()) as view:
            assert view.totals().customers == 2
            assert [waiting.record.offset for waiting in view.parked()] == [1]


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("kind", ["advisory", "rows"])
def test_signup_beside_a_parked_cancellation_conflicts(user: User, level: str, kind: str) -> None:
    user.do(f"ALTER ROLE {{}} SET default_transaction_isolation = '{level}'")
    with closing(PostgresStore(user.url, HERE, kind)) as one, closing(PostgresStore(user.url, HERE, kind)) as other:
        with ThreadPoolExecutor(1) as pool, one._db.transaction():
            one.commit(Changes(parked=parked(waiting(0))))
            doing: Future[object] = pool.submit(other.commit, Changes(new_customers={EVE: customer(EVE)}))
            with psycopg.connect(user.url, autocommit=True) as watching:
                query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = %s"
                while watching.execute(query, [user.name]).fetchall() == [(0,)]:
                    assert not doing.done()
        error = doing.exception(timeout=30)
        assert isinstance(error, StoreConflictError)
        assert "a cancellation was parked by another worker while its signup was being committed" in str(error)


@pytest.mark.parametrize(("chosen", "kept"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
def test_commits_are_durable(user: User, chosen: str, kept: str) -> None:
    user.do(f"ALTER ROLE {{}} SET synchronous_commit = '{chosen}'")
    with closing(PostgresStore(user.url, HERE)) as store:
        assert values(store._db, ["synchronous_commit"]) == {"synchronous_commit": kept}


def test_search_paths_lead_to_the_same_tables_and_locks(user: User, url: str) -> None:
    bare = url.partition("&options")[0].partition("?options")[0]
    mark = "&" if "?" in bare else "?"
    user.do("CREATE SCHEMA {}")  # first in the user's path, and without tables
    path = quote(f"-c search_path={user.name},{user.schema}")
    try:
        with (
            closing(PostgresStore(url, HERE)) as one,
            closing(PostgresStore(f"{bare}{mark}options={path}", HERE)) as other,
        ):
            assert [one.lead(), other.lead()] == [True, False]
            one.commit(Changes(new_customers={EVE: customer(EVE)}))
            assert [each.customer_id for each in other.customers([EVE])] == [EVE]
            assert values(other._db, ["search_path"]) == {"search_path": user.schema}
    finally:
        user.do("DROP SCHEMA {} CASCADE")


def test_changed_search_path_makes_no_second_store(user: User, url: str) -> None:
    bare = user.url.partition("&options")[0].partition("?options")[0]
    user.do(f"ALTER ROLE {{}} SET search_path = {user.schema}", "CREATE SCHEMA {}")
    try:
        with closing(PostgresStore(bare, HERE)) as store:
            user.do("ALTER ROLE {} SET search_path = {}".replace("= {}", f"= {user.name}"))
            with pytest.raises(StoreError, match="has no tables any more: the database was replaced, or search_path"):
                store.reopen()
            migrate_store(bare, HERE)
            with pytest.raises(StoreError, match="has other tables than at the worker's start"):
                store.reopen()
            with pytest.raises(StoreError, match="has other tables than at the worker's start"):
                store.lead()
    finally:
        user.do("DROP SCHEMA {} CASCADE")


@pytest.mark.parametrize(
    ("options", "chosen", "left"),
    [
        ("-csearch_path=a", {"search_path": "a"}, None),
        (r"-c search_path=a,b\ c --work-mem=64MB", {"search_path": "a,b c", "work_mem": "64MB"}, None),
        (r"-c app.name=a\\b", {"app.name": r"a\b"}, None),
        ("-csearch_path=a -B 16", {}, "-csearch_path=a -B 16"),
        ("", {}, None),
    ],
)
def test_options_are_set_after_connecting(options: str, chosen: dict[str, str], left: str | None) -> None:
    address, found = session.split_options(f"postgresql://u:p%40w@h:1/d?options={quote(options)}&sslmode=require")
    parts = psycopg.conninfo.conninfo_to_dict(address)
    assert found == chosen
    assert parts.pop("options", "") in (left, "")
    assert parts == {"user": "u", "password": "p@w", "host": "h", "port": "1", "dbname": "d", "sslmode": "require"}


def refusal(url: str) -> str:
    """Why a worker does not start on the store at an address, and why `check` fails."""
    settings = Settings(store={"url": url})  # type: ignore[arg-type]
    with pytest.raises(Refusal) as refused:
        bootstrap.open_store(settings)
    check = store_operations.check_store(settings)
    assert (refused.value.code, check.is_well, check.advice) == (Exit.UNREACHABLE, False, str(refused.value))
    return str(refused.value)


@contextmanager
def database(url: str, encoding: str) -> Iterator[str]:
    """Yield the address of a database with an encoding."""
    name = f"d_{url.rpartition('%3D')[2]}"
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0".encode())
        try:
            yield urlunsplit(urlsplit(url.partition("&options")[0])._replace(path=f"/{name}"))
        finally:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_database_of_another_encoding_is_refused(url: str, encoding: str) -> None:
    with database(url, encoding) as other:
        said = refusal(other)
        assert f"cannot be used: the database has the encoding {encoding}, records are UTF-8. Create a database" in said
        with pytest.raises(StoreError, match=encoding):
            migrate_store(other, HERE)


def test_refusal_names_a_statement_that_works(url: str) -> None:
    with database(url, "UTF8") as other:
        PostgresStore(other, HERE).close()


def test_rights_named_by_the_error_are_enough(url: str) -> None:
    user = User(url, rights="")
    try:
        PostgresStore(url, HERE).close()
        user.do(f"GRANT USAGE ON SCHEMA {user.schema} TO {{}}")
        said = refusal(user.url)
        assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA" in said
        user.do(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {user.schema} TO {{}}")
        with closing(PostgresStore(user.url, HERE)) as store:
            assert store.lead()
            prepare(store)
            store.commit(a_bit_of_everything())
            store.mark_published(store.last_seq, {("customer.churned", 0): 9})
            user.do(f"REVOKE INSERT ON {user.schema}.customers FROM {{}}")
            with pytest.raises(StoreError, match=r"permission denied for table customers.*GRANT SELECT, INSERT"):
                store.commit(Changes(new_customers={ADA: customer(ADA)}))
    finally:
        user.drop()


def test_hidden_rows_are_an_error(url: str) -> None:
    user = User(url, rights="")
    try:
        PostgresStore(url, HERE).close()
        user.do(
            f"GRANT USAGE ON SCHEMA {user.schema} TO {{}}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {user.schema} TO {{}}",
            f"ALTER TABLE {user.schema}.customers ENABLE ROW LEVEL SECURITY",
        )
        with (
            closing(PostgresStore(user.url, HERE)) as store,
            pytest.raises(StoreError, match=r"row-level security policy.*BYPASSRLS"),
        ):
            list(store.customers([EVE]))
        user.do("ALTER ROLE {} BYPASSRLS")
        with closing(PostgresStore(user.url, HERE)) as store:
            assert not list(store.customers([EVE]))
    finally:
        user.drop()


def test_standby_is_refused_and_can_be_read() -> None:
    with postgres_from_the_wheel() as server:
        store = PostgresStore(server.url, HERE)
        with closing(store):
            [(data,)] = store._db.execute("SHOW data_directory").fetchall()
            prepare(store)
            (Path(data) / "standby.signal").touch()
            server.restart()
            with pytest.raises(StoreError):
                prepare(store)
            with pytest.raises(StoreError, match=r"the server is a standby, which accepts no writes\. Set the primary"):
                store.reopen()
            settings = Settings(store={"url": server.url})  # type: ignore[arg-type]
            with pytest.raises(Refusal, match="the server is a standby"):
                bootstrap.open_store(settings)
            with closing(bootstrap.open_view(settings)) as view:
                assert view.totals().customers == 1
            with psycopg.connect(server.url, autocommit=True) as admin:
                admin.execute("SELECT pg_promote()")
            store.reopen()
            assert [each.customer_id for each in store.active_customers()]
