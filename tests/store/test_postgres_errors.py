"""What PostgreSQL's errors mean for whoever has to mend them."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors

from tests.support.postgres.server import Postgres, fresh_schema
from worker.logs.exceptions import rendered
from worker.stores.errors import StoreConflictError
from worker.stores.postgres.connection import connect, explain
from worker.stores.postgres.session import UnusableSessionError

SHOWN = "postgresql://worker@db/customers"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.DiskFull('could not extend file "base/5/16": No space left on device'), "Free disk space"),
        (errors.InsufficientPrivilege("permission denied for table customers"), "Give the user in"),
        (errors.AdminShutdown("terminating connection"), "Check that PostgreSQL runs there"),
        (psycopg.OperationalError("server closed the connection unexpectedly"), "Check that PostgreSQL runs there"),
        (errors.UndefinedTable('relation "customers" does not exist'), "were dropped or moved; or a pooler"),
        (UnusableSessionError("a pooler changes the session"), "cannot be used: a pooler changes the session"),
        (errors.UndefinedFunction("function does not exist"), "failed"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_an_error_says_what_to_mend(error: psycopg.Error, says: str) -> None:
    explained = explain(error, SHOWN)
    assert says in str(explained)
    assert SHOWN in str(explained)
    assert ("cannot be reached" in str(explained)) is (says == "Check that PostgreSQL runs there")


def test_what_another_worker_was_faster_at_is_a_conflict() -> None:
    assert isinstance(explain(errors.UniqueViolation("duplicate key"), SHOWN), StoreConflictError)


MARK = "marked-content-4711"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("INSERT INTO t VALUES (%s, 1), (%s, 1)", "duplicate key value violates unique constraint"),
        ("INSERT INTO t VALUES (%s, -1), (%s || '.', 1)", "violates check constraint"),
        ("SELECT %s::text::uuid, %s", "InvalidTextRepresentation"),
        ("SELECT %s::text::numeric, %s", "InvalidTextRepresentation"),
        ("DO $$ BEGIN RAISE EXCEPTION 'about marked-content-4711'; END $$", "RaiseException"),
    ],
)
def test_error_of_the_server_quotes_no_values(
    postgres_server: Callable[[], Postgres], statement: str, says: str
) -> None:
    with connect(fresh_schema(postgres_server())) as db:
        db.execute("CREATE TABLE t (a text PRIMARY KEY, b integer CHECK (b > 0))")
        with pytest.raises(psycopg.Error, match=MARK) as refused:
            db.execute(statement.encode(), [MARK, MARK] if "%s" in statement else None)
    explained = explain(refused.value, SHOWN)
    explained.__cause__ = refused.value
    assert says in str(explained)
    assert MARK not in str(explained) + rendered(explained)
