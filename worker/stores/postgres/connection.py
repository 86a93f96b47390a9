"""Connections to PostgreSQL, and descriptions of the driver's errors with the remedy for operators."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

import psycopg
from psycopg import errors

from worker.error_messages import message_of
from worker.stores import migrations
from worker.stores.errors import NoStoreError, StoreConflictError, StoreError
from worker.stores.postgres import pooler, session
from worker.stores.postgres.session import UnusableSessionError

Connection = session.Connection

CONNECT_SECONDS = 10
MIGRATE_WAITS_SECONDS = 5
_OPTIONS: dict[str, Any] = {
    "application_name": "customer-worker",
    "client_encoding": "utf8",  # the driver returns no text before the encoding is set
    "connect_timeout": CONNECT_SECONDS,
    # A server that disappears is detected within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class AtUrl(Protocol):
    """An object of a store at an address; `shown` is the address without its password."""

    shown: str


NO_SETTINGS: Mapping[str, str] = {}

S = TypeVar("S", bound=AtUrl)
P = ParamSpec("P")
R = TypeVar("R")


def connect(url: str, own: Mapping[str, str] = NO_SETTINGS) -> Connection:
    """Connect; each statement is a separate transaction unless one is begun. Raises the driver's errors.

    The session has the settings of `worker.stores.postgres.session`, overridden by `own`.
    """
    address, chosen = session.split_options(url)

    def open_one() -> Connection:
        return psycopg.connect(address, autocommit=True, **_OPTIONS)

    db = open_one()
    try:
        session.require_encoding(db)
        pooler.require_session(db, open_one)
        session.set_up(db, chosen, own)
    except BaseException:
        db.close()
        raise
    return db


def stored_version(db: Connection) -> int:
    """Return the version of the store's tables; 0 if there are none."""
    # Asked of the table of tables: to_regclass may answer from before a lock that was waited for.
    if not db.execute("SELECT FROM pg_class WHERE relname = 'store_version' AND pg_table_is_visible(oid)").fetchall():
        return 0
    return int(db.execute("SELECT version FROM store_version").fetchall()[0][0])


def migrate(db: Connection, *, from_nothing_only: bool = False) -> tuple[int, int]:
    """Migrate the tables to this worker's version in one transaction; returns the version before and after.

    Concurrent migrations wait. `from_nothing_only` leaves existing tables unchanged. Commits in progress are waited
    for, and later commits of older workers fail: each commit reads `store_version`.
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
        session.use_schema_of_tables(db)
        return before, due[-1].version if due else before


def require_store(db: Connection, shown: str, ours: int) -> None:
    """Raise `NoStoreError` if there are no tables, and `StoreError` if they have another version than ours."""
    version = stored_version(db)
    if version == 0:
        raise NoStoreError(f"there is no store in {shown} yet")
    migrations.require_version(shown, version, ours)


def stored_id(db: Connection) -> UUID:
    """Return the id that distinguishes this store from others."""
    [(store_id,)] = db.execute("SELECT id FROM store_version").fetchall()
    return UUID(str(store_id))


def require_version(db: Connection, shown: str, ours: int, store_id: UUID | None) -> None:
    """Raise if the session is another one, or the tables are of another version or another store.

    Until the transaction ends, no migration changes the version.
    """
    query = f"SELECT version, id, {pooler.MARK} FROM store_version"
    [(version, found_id, mark)] = db.execute(query.encode(), prepare=False).fetchall()
    if mark != pooler.mark_of(db):
        raise pooler.lost()
    require_same_store(shown, found_id, store_id)
    migrations.require_version(shown, version, ours)


def require_same_store(shown: str, found: UUID | None, ours: UUID | None) -> None:
    """Raise if the tables do not exist any more, or are not those that the worker opened first."""
    if found != ours:
        what = "has no tables any more" if found is None else "has other tables than at the worker's start"
        raise StoreError(
            f"the store {shown} {what}: the database was replaced, or search_path or the address was changed. Restore "
            "the database or the user's search_path, or restart the workers to use the new tables"
        )


_OF_A_RACE = (errors.UniqueViolation, errors.SerializationFailure, errors.DeadlockDetected)
_URL = "CUSTOMER_WORKER_STORE__URL"
# Of a connection that is refused, all there is to go by is the server's text.
_CONNECTION_REFUSED = {
    "password authentication failed|no password supplied": f"Check the user and the password in {_URL}",
    "role .* does not exist": f"Check the user in {_URL}, or create it (CREATE ROLE … LOGIN)",
    "database .* does not exist": f"Check the database in {_URL}, or create it (CREATE DATABASE)",
    "permission denied for database": "Give the user the right to connect (GRANT CONNECT ON DATABASE)",
    "too many (clients|connections)|connection slots are reserved": (
        "No connection is left: a worker holds two, a query one. Raise max_connections or the limit of the user or "
        "the database, or run fewer workers"
    ),
    "no pg_hba.conf entry|pg_hba.conf rejects": "Allow this user and address in the server's pg_hba.conf",
    "unsupported startup parameter": (
        f"It is a pooler: remove the parameter from {_URL}, or add it to PgBouncer's ignore_startup_parameters"
    ),
    "starting up|shutting down|not yet accepting": "Wait until the server is up, then retry",
}
_MENDED_BY: dict[type[psycopg.Error], str] = {
    errors.InsufficientPrivilege: (
        f"Give the user in {_URL} the rights of the tables' owner (GRANT USAGE ON SCHEMA … TO …; GRANT SELECT, INSERT, "
        "UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO …; with row-level security also ALTER ROLE … BYPASSRLS); or run "
        "this as the owner, the user of the first worker or of customer-worker migrate"
    ),
    errors.ReadOnlySqlTransaction: (
        f"It is a standby, or default_transaction_read_only is set. Set the primary in {_URL}, or allow writes"
    ),
    errors.UndefinedTable: (
        "Its tables were dropped or moved; or a pooler changed the session: set PgBouncer's pool_mode to session"
    ),
    errors.InvalidSchemaName: f"Create the schema that {_URL} names in its search_path, or give the user USAGE of it",
    errors.DiskFull: "Free disk space on the server. A running worker then continues",
}


_VALUE_OF_AN_OPTION = re.compile(r'(invalid value for parameter "[^"]*"|invalid command-line argument[^:]*): .*')
"""The server quotes values from `options=` in the address, which can be secrets."""


def explain(error: psycopg.Error, shown: str) -> StoreError:
    """Describe the driver's error for operators. Values are left out: they are about customers."""
    text = _VALUE_OF_AN_OPTION.sub(r"\1", message_of(error) or type(error).__name__)
    if isinstance(error, UnusableSessionError):
        return StoreError(f"the store {shown} cannot be used: {text}")
    if isinstance(error, _OF_A_RACE):
        return StoreConflictError(f"another worker changed rows that this batch has read, in {shown}: {text}")
    if isinstance(error, errors.LockNotAvailable):
        return StoreError(
            f"the tables of {shown} could not be locked within {MIGRATE_WAITS_SECONDS} s: a replay's dry run or "
            "another long query reads them. Nothing was changed. Run customer-worker migrate again once it has ended"
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
            return StoreError(f"the store {shown} refuses connections: {refused.strip()}. {advice}")
    return StoreError(
        f"the store {shown} cannot be reached, or ended the connection: {text}. Check that PostgreSQL runs there, and "
        f"the host and the port in {_URL}"
    )


def wrap_errors(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Raise the driver's errors as `StoreError`."""

    @wraps(method)
    def wrapped(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except psycopg.Error as error:
            raise explain(error, self.shown) from error

    return wrapped
