"""Connections to PostgreSQL as the worker needs them, and what the driver's errors mean for who has to mend them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import psycopg
from psycopg import errors

from worker.store import NoStoreError, StoreConflictError, StoreError
from worker.stores.migrations import migrations, newest_version

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_SECONDS = 10
VERSION = newest_version("postgres")
_TRANSACTION_TIMEOUT_SINCE = 170_000
_OPTIONS: dict[str, Any] = {
    "application_name": "customer-worker",
    "connect_timeout": CONNECT_SECONDS,
    # A server that has gone without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class AtUrl(Protocol):
    """What belongs to a store at an address; `shown` is the address without its password."""

    shown: str


S = TypeVar("S", bound=AtUrl)
P = ParamSpec("P")
R = TypeVar("R")


def connect(url: str) -> Connection:
    """A connection, each statement on it a transaction of its own unless one is begun. Raises the driver's errors."""
    db = psycopg.connect(url, autocommit=True, **_OPTIONS)
    db.execute("SET TimeZone = 'UTC'")
    return db


def connect_to_write(url: str) -> Connection:
    """A connection whose transactions end with their worker, be it frozen: others wait for what they have locked."""
    db = connect(url)
    db.execute("SET idle_in_transaction_session_timeout = '10s'")
    if db.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:  # also where it is the server that waits for a row
        db.execute("SET transaction_timeout = '60s'")
    return db


def stored_version(db: Connection) -> int:
    """The version of the store's tables; 0 where there are none."""
    # Asked of the table of tables: to_regclass may answer from before a lock that was waited for.
    if not db.execute("SELECT FROM pg_class WHERE relname = 'store_version' AND pg_table_is_visible(oid)").fetchall():
        return 0
    return int(db.execute("SELECT version FROM store_version").fetchall()[0][0])


def migrate(db: Connection, *, from_nothing_only: bool = False) -> tuple[int, int]:
    """Bring the tables to this worker's version, all or nothing; the version before and after.

    Whoever comes at the same time waits. `from_nothing_only` leaves tables that exist as they are.
    """
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(hashtextextended('customer-worker migrate ' || current_schema(), 0))")
        before = stored_version(db)
        due = [] if before and from_nothing_only else migrations("postgres", before)
        for step in due:
            db.execute(step.sql.encode())
            db.execute("UPDATE store_version SET version = %s", [step.version])
        return before, due[-1].version if due else before


def require_version(version: int, shown: str) -> None:
    """Raise `NoStoreError` where there are no tables, `StoreError` where they are of another version than ours."""
    if version == 0:
        raise NoStoreError(f"there is no store in {shown} yet")
    if version > VERSION:
        raise StoreError(
            f"the store {shown} has version {version}, this worker reads {VERSION}: run the worker that wrote it, or a "
            "newer one"
        )
    if version < VERSION:
        raise StoreError(
            f"the store {shown} has version {version}, this worker needs {VERSION}: run customer-worker migrate"
        )


_OF_A_RACE = (errors.UniqueViolation, errors.SerializationFailure, errors.DeadlockDetected)


def explain(error: psycopg.Error, shown: str) -> StoreError:
    """What the driver's error means for whoever has to mend it. Values are left out: they are about customers."""
    text = error.diag.message_primary or str(error).partition("\n")[0] or type(error).__name__
    if isinstance(error, _OF_A_RACE):
        return StoreConflictError(f"another worker changed what this batch builds on, in {shown}: {text}")
    if isinstance(error, errors.InsufficientPrivilege):
        return StoreError(f"the store {shown} refused: {text}. Give its user the right to it")
    if isinstance(error, errors.DiskFull):
        return StoreError(f"the store {shown} has no room left: {text}. Make room on PostgreSQL's disk")
    if isinstance(error, psycopg.OperationalError):
        return StoreError(
            f"the store {shown} cannot be reached, or ended the connection: {text}. Check that PostgreSQL runs there, "
            "and CUSTOMER_WORKER_STORE__URL"
        )
    return StoreError(f"the store {shown} failed: {text}")


def wrap_errors(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Let no error of the driver past the edge of the store."""

    @wraps(method)
    def wrapped(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except psycopg.Error as error:
            raise explain(error, self.shown) from error

    return wrapped
