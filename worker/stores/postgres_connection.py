"""Connections to PostgreSQL as the worker needs them, and what the driver's errors mean for who has to mend them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import psycopg
from psycopg import errors

from worker.error_messages import message_of
from worker.store import NoStoreError, StoreConflictError, StoreError
from worker.stores import migrations

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_SECONDS = 10
MIGRATE_WAITS_SECONDS = 5
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
    # On a large store a batch's statements look dear enough to be compiled each time, which takes longer than they do.
    db.execute("SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = 'jit'")
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

    Whoever comes at the same time waits. `from_nothing_only` leaves tables that exist as they are. What a worker is
    committing is waited for, and what it commits afterwards fails: each commit reads `store_version`.
    """
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(hashtextextended('customer-worker migrate ' || current_schema(), 0))")
        before = stored_version(db)
        due = [] if before and from_nothing_only else migrations.migrations("postgres", before)
        if before and due:
            db.execute(f"SET LOCAL lock_timeout = '{MIGRATE_WAITS_SECONDS}s'".encode())  # all workers wait with it
            db.execute("LOCK TABLE store_version IN ACCESS EXCLUSIVE MODE")
        for step in due:
            db.execute(step.sql.encode())
            db.execute("UPDATE store_version SET version = %s", [step.version])
        return before, due[-1].version if due else before


def require_store(db: Connection, shown: str, ours: int) -> None:
    """Raise `NoStoreError` where there are no tables, and `StoreError` where they are of another version than ours."""
    version = stored_version(db)
    if version == 0:
        raise NoStoreError(f"there is no store in {shown} yet")
    migrations.require_version(shown, version, ours)


def require_version(db: Connection, shown: str, ours: int) -> None:
    """Raise where the tables are of another version; until the transaction ends, none makes them so."""
    [(version,)] = db.execute("SELECT version FROM store_version").fetchall()
    migrations.require_version(shown, version, ours)


_OF_A_RACE = (errors.UniqueViolation, errors.SerializationFailure, errors.DeadlockDetected)
_URL = "CUSTOMER_WORKER_STORE__URL"
# Of a connection that is refused, all there is to go by is the server's text.
_CONNECTION_REFUSED = {
    "password authentication failed|no password supplied": f"Check the user and the password in {_URL}",
    "role .* does not exist": f"Check the user in {_URL}, or create it (CREATE ROLE … LOGIN)",
    "database .* does not exist": f"Check the database in {_URL}, or create it (CREATE DATABASE)",
    "permission denied for database": "Give the user the right to connect (GRANT CONNECT ON DATABASE)",
    "too many (clients|connections)|connection slots are reserved": (
        "PostgreSQL has no connection left for it: a worker holds two, a question one. Raise max_connections, or the "
        "limit of the user or the database; or run fewer workers"
    ),
    "no pg_hba.conf entry|pg_hba.conf rejects": "Allow this user and address in the server's pg_hba.conf",
    "starting up|shutting down|not yet accepting": "Wait until the server is up, then start this again",
}
_MENDED_BY: dict[type[psycopg.Error], str] = {
    errors.InsufficientPrivilege: (
        f"Give the user in {_URL} the rights of the tables' owner; or run this as that owner, which is whoever ran "
        "customer-worker migrate or the first worker"
    ),
    errors.ReadOnlySqlTransaction: (
        f"It is a standby, or default_transaction_read_only is set: name the primary in {_URL}, or let it take writes"
    ),
    errors.InvalidSchemaName: f"Create the schema that {_URL} names in its search_path, or give the user USAGE of it",
    errors.DiskFull: "Make room on the server's disk: a worker goes on by itself",
}


def explain(error: psycopg.Error, shown: str) -> StoreError:
    """What the driver's error means for whoever has to mend it. Values are left out: they are about customers."""
    text = message_of(error) or type(error).__name__
    if isinstance(error, _OF_A_RACE):
        return StoreConflictError(f"another worker changed what this batch builds on, in {shown}: {text}")
    if isinstance(error, errors.LockNotAvailable):
        return StoreError(
            f"the store {shown} could not be had alone within {MIGRATE_WAITS_SECONDS} s: a replay's dry run or another "
            "long question reads it. Nothing was changed: run customer-worker migrate again when that has ended"
        )
    for kind, advice in _MENDED_BY.items():
        if isinstance(error, kind):
            return StoreError(f"the store {shown} refused: {text}. {advice}")
    if isinstance(error, psycopg.OperationalError):
        return _unreachable(text, shown)
    return StoreError(f"the store {shown} failed: {text}")


def _unreachable(text: str, shown: str) -> StoreError:
    _, _, refused = text.partition("FATAL:")
    for pattern, advice in _CONNECTION_REFUSED.items():
        if re.search(pattern, refused):
            return StoreError(f"the store {shown} lets nobody in: {refused.strip()}. {advice}")
    return StoreError(
        f"the store {shown} cannot be reached, or ended the connection: {text}. Check that PostgreSQL runs there, and "
        f"the host and the port in {_URL}"
    )


def wrap_errors(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Let no error of the driver past the edge of the store."""

    @wraps(method)
    def wrapped(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except psycopg.Error as error:
            raise explain(error, self.shown) from error

    return wrapped
