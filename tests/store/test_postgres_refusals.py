"""Refusals of PostgreSQL are described for operators, without the password."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from typer.testing import CliRunner

from tests.documents.documents import OPERATING
from tests.support.changes import a_bit_of_everything, prepare
from tests.support.postgres.server import Postgres, fresh_schema
from worker import bootstrap, store_operations
from worker.cli.main import command_line
from worker.errors import Exit, Refusal
from worker.settings import Settings
from worker.stores.postgres.store import PostgresStore

PASSWORD = "geheim/42"
SECRET = "hunter2-never-to-be-shown"
URL = "CUSTOMER_WORKER_STORE__URL"


class Role:
    """A user of one test's own, who has a store's schema and no right in it; `url` is theirs."""

    def __init__(self, store_url: str) -> None:
        self._store_url = store_url
        self.schema = store_url.rpartition("%3D")[2]
        self.name = f"u_{self.schema}"
        self.do(f"CREATE ROLE {self.name} LOGIN PASSWORD '{PASSWORD}'", f"GRANT USAGE ON SCHEMA {self.schema} TO {{}}")

    def do(self, *statements: str) -> None:
        """As the owner; `{}` is the user."""
        with psycopg.connect(self._store_url, autocommit=True) as db:
            for statement in statements:
                db.execute(statement.format(self.name).encode())

    def url(self, *, password: str = PASSWORD, user: str | None = None, database: str | None = None) -> str:
        parts = urlsplit(self._store_url)
        where = parts.netloc.rpartition("@")[2]
        netloc = f"{user or self.name}:{quote(password, safe='')}@{where}"
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}" if database else parts.path))

    def require_password(self) -> None:
        """See that the server asks for it, as one that is not a test's does."""
        with psycopg.connect(self._store_url, autocommit=True) as db:
            [(rules,)] = db.execute("SHOW hba_file").fetchall()
            if (file := Path(rules)).exists():
                file.write_text(f"local all {self.name} scram-sha-256\n{file.read_text()}")
                db.execute("SELECT pg_reload_conf()")

    def drop(self) -> None:
        self.do("DROP OWNED BY {}", "DROP ROLE {}")


@pytest.fixture
def role(postgres_server: Callable[[], Postgres]) -> Iterator[Role]:
    role = Role(fresh_schema(postgres_server()))
    PostgresStore(role._store_url, "postgresql://here").close()
    yield role
    role.drop()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Why a store at an address is not to be had, as a worker that starts says, and `check` with it."""

    def of(url: str) -> str:
        monkeypatch.setenv(URL, url)
        with pytest.raises(Refusal) as refusal:
            bootstrap.open_store(Settings.read())
        said = str(refusal.value)
        check = store_operations.check_store(Settings.read())
        assert (refusal.value.code, check.is_well, check.advice) == (Exit.UNREACHABLE, False, said)
        assert PASSWORD not in said
        assert quote(PASSWORD, safe="") not in said
        return said

    return of


def test_wrong_password_is_named(role: Role, refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    role.require_password()
    said = refused(role.url(password="wrong"))
    assert f'refuses connections: password authentication failed for user "{role.name}". Check the user and the' in said
    assert f"the password in {URL}" in said
    ended = CliRunner().invoke(command_line(["status"]), ["status"])
    assert (isinstance(ended.exception, Refusal), str(ended.exception)) == (True, said), "as a command says it"


def test_missing_user_is_named(role: Role, refused: Callable[[str], str]) -> None:
    said = refused(role.url(user="nobody_of_that_name"))
    assert "nobody_of_that_name" in said
    assert f"Check the user in {URL}" in said or f"Check the user and the password in {URL}" in said


def test_missing_database_is_named(role: Role, refused: Callable[[str], str]) -> None:
    said = refused(role.url(database="nowhere"))
    assert f'database "nowhere" does not exist. Check the database in {URL}, or create it' in said


def test_exhausted_connections_are_named(role: Role, refused: Callable[[str], str]) -> None:
    role.do("ALTER ROLE {} CONNECTION LIMIT 0")
    said = refused(role.url())
    assert "refuses connections: too many connections for role" in said
    assert "Raise max_connections or the limit of the user or the database, or run fewer workers" in said


def test_missing_right_to_connect_is_named(role: Role, refused: Callable[[str], str]) -> None:
    database = f"d_{role.schema}"
    role.do(f"CREATE DATABASE {database}", f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
    said = refused(role.url(database=database))
    role.do(f"DROP DATABASE {database}")
    assert "permission denied for database" in said
    assert "GRANT CONNECT" in said


@pytest.mark.parametrize("rights", ["GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {{}}", None])
def test_missing_right_to_the_tables_is_named(role: Role, refused: Callable[[str], str], rights: str | None) -> None:
    if rights:
        role.do(rights.format(role.schema))
    said = refused(role.url())
    assert "refused: permission denied for table" in said
    assert f"Give the user in {URL} the rights of the tables' owner" in said


def test_missing_right_to_create_tables_is_named(role: Role, refused: Callable[[str], str]) -> None:
    role.do(f"DROP SCHEMA {role.schema} CASCADE", f"CREATE SCHEMA {role.schema}")
    role.do(f"GRANT USAGE ON SCHEMA {role.schema} TO {{}}")
    # Nothing is there yet, and `check` makes nothing: the worker's own start tells.
    with pytest.raises(Refusal, match=r"permission denied for schema .* Give the user"):
        bootstrap.open_store(Settings(store={"url": role.url()}))  # type: ignore[arg-type]


def test_missing_schema_is_named(role: Role) -> None:
    role.do(f"DROP SCHEMA {role.schema} CASCADE")
    with pytest.raises(Refusal, match=f"Create the schema that {URL} names in its search_path"):
        bootstrap.open_store(Settings(store={"url": role.url()}))  # type: ignore[arg-type]


def test_read_only_user_is_named(role: Role, refused: Callable[[str], str]) -> None:
    role.do(f"GRANT ALL ON ALL TABLES IN SCHEMA {role.schema} TO {{}}")
    bootstrap.open_store(Settings(store={"url": role.url()})).close()  # type: ignore[arg-type]
    role.do("ALTER ROLE {} SET default_transaction_read_only = on")
    said = refused(role.url())
    assert "cannot be used: default_transaction_read_only is on for this server, database or role. Turn it off" in said


def test_stopped_server_is_named(refused: Callable[[str], str]) -> None:
    said = refused(f"postgresql://worker:{quote(PASSWORD, safe='')}@127.0.0.1:1/customers")
    assert "the store postgresql://worker:********@127.0.0.1:1/customers cannot be reached" in said
    assert "Connection refused" in said
    assert f"Check that PostgreSQL runs there, and the host and the port in {URL}" in said


def test_documented_grants_are_enough(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    text = OPERATING.read_text().partition("### Rights on PostgreSQL")[2]
    grants = re.findall(r"^GRANT .*;$", text, re.MULTILINE)
    assert len(grants) == 3
    role.do(*(each.replace("public", role.schema).replace(" worker;", " {};") for each in grants))
    monkeypatch.setenv(URL, role.url())
    store = bootstrap.open_store(Settings.read())
    try:
        prepare(store)
        store.commit(a_bit_of_everything())
        assert store.lead()
    finally:
        store.close()
    assert store_operations.check_store(Settings.read()).is_well


def test_value_of_a_refused_option_is_not_shown(role: Role, refused: Callable[[str], str]) -> None:
    said = refused(role.url().partition("options=")[0] + f"options={SECRET}")
    assert "invalid command-line argument for server process" in said
    assert SECRET not in said
    assert "options=********" in said
