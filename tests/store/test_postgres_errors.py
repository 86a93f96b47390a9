"""What PostgreSQL's errors mean for whoever has to mend them."""

import psycopg
import pytest
from psycopg import errors

from worker.store import StoreConflictError
from worker.stores.postgres_connection import explain
from worker.stores.postgres_session import UnusableSessionError

SHOWN = "postgresql://worker@db/customers"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.DiskFull('could not extend file "base/5/16": No space left on device'), "Make room"),
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
