"""The two locks between workers: the gate between signups and parking, and the relay's leadership.

`AdvisoryLocks` are PostgreSQL's own; `RowLocks` do the same with rows, for databases that speak its protocol and have
no advisory locks.
"""

from __future__ import annotations

import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from socket import gethostname

import psycopg
from typing_extensions import override

from worker.stores.errors import StoreError, StoreInUseError
from worker.stores.postgres.claims import DRAWN_STEP
from worker.stores.postgres.connection import Connection, connect, explain

LEADER_SILENT_SECONDS = 5
"""Time after which a standby can replace a leader that is frozen or disconnected."""


RELAY_KEY = "hashtextextended('customer-worker relay ' || current_schema(), 0)"
LEADER_NAME = "customer-worker, relay of "
"""Prefix of `application_name` of a session that leads, or waits to; followed by machine and process."""


Connect = Callable[[Mapping[str, str]], Connection]
"""Connects to the database, with settings of this connection."""


class Locks(ABC):
    """The locks of one store's workers, in the database to which `connect` connects.

    `check` raises if this worker must not lead on the store of a connection.
    """

    def __init__(self, connect: Connect, check: Callable[[Connection], None]) -> None:
        self._connect = connect
        self._check = check

    @abstractmethod
    def pass_gate(self, db: Connection, *, alone: bool) -> None:
        """Lock the gate between signups and parking until the transaction ends: shared, or `alone`."""

    @abstractmethod
    def lead(self) -> int | None:
        """Acquire or renew leadership; returns its epoch, None if another worker leads.

        Call it more often than every `LEADER_SILENT_SECONDS`. Raises the driver's errors.
        """

    @abstractmethod
    def try_to_redrive(self, db: Connection) -> bool:
        """Take the redrive lock until the connection ends; returns False if another process holds it."""

    @abstractmethod
    def close(self) -> None:
        """Release the leadership."""

    def _open_connection(self, own: Mapping[str, str]) -> Connection:
        """Open a separate connection with these settings."""
        db = self._connect(own)
        name = f"{LEADER_NAME}{gethostname()}/{os.getpid()}"
        db.execute("SELECT set_config('application_name', %s, false)", [name])
        return db


class AdvisoryLocks(Locks):
    """Leadership by an advisory lock of a session; the server ends an idle session."""

    def __init__(self, connect: Connect, check: Callable[[Connection], None]) -> None:
        super().__init__(connect, check)
        self._session: Connection | None = None
        self._epoch: int | None = None

    @override
    def pass_gate(self, db: Connection, *, alone: bool) -> None:
        kind = "" if alone else "_shared"
        key = "hashtextextended('customer-worker signups ' || current_schema(), 0)"
        db.execute(f"SELECT pg_advisory_xact_lock{kind}({key})".encode())

    @override
    def lead(self) -> int | None:
        try:
            session = self._session or self._open_session()
            self._check(session)  # if it succeeds, the session is open and holds its lock
            if self._epoch is None and session.execute(_TRY_TO_LEAD).fetchall() == [(True,)]:
                [(self._epoch,)] = session.execute(_NEXT_EPOCH).fetchall()
        except (psycopg.Error, StoreError):
            self.close()
            raise
        return self._epoch

    @override
    def try_to_redrive(self, db: Connection) -> bool:
        key = "hashtextextended('customer-worker redrive ' || current_schema(), 0)"
        return db.execute(f"SELECT pg_try_advisory_lock({key})".encode()).fetchall() == [(True,)]

    def _open_session(self) -> Connection:
        self._session = self._open_connection({"idle_session_timeout": f"{LEADER_SILENT_SECONDS}s"})
        return self._session

    @override
    def close(self) -> None:
        session, self._session, self._epoch = self._session, None, None
        if session is not None:
            _end(session)


_TRY_TO_LEAD = f"SELECT pg_try_advisory_lock({RELAY_KEY})".encode()
_NEXT_EPOCH = f"UPDATE relay SET leader_epoch = leader_epoch + {DRAWN_STEP} RETURNING leader_epoch".encode()


class RowLocks(Locks):
    """Leadership by a lease in the relay's row, renewed by each call of `lead`."""

    def __init__(self, connect: Connect, check: Callable[[Connection], None]) -> None:
        super().__init__(connect, check)
        self._session: Connection | None = None
        self._me = uuid.uuid4()

    @override
    def pass_gate(self, db: Connection, *, alone: bool) -> None:
        strength = "UPDATE" if alone else "SHARE"
        db.execute(f"SELECT 1 FROM gates WHERE name = 'signups' FOR {strength}".encode())

    @override
    def lead(self) -> int | None:
        try:
            self._session = self._session or self._open_connection({})
            self._check(self._session)
            held = self._session.execute(_RENEW, {"me": self._me, "seconds": LEADER_SILENT_SECONDS}).fetchall()
        except (psycopg.Error, StoreError):
            self.close()
            raise
        return int(held[0][0]) if held else None

    @override
    def try_to_redrive(self, db: Connection) -> bool:
        db.execute("INSERT INTO gates VALUES ('redrive') ON CONFLICT DO NOTHING")
        db.execute("BEGIN")
        # Other transactions use no other column of this row, so none waits for the end of this one.
        found = db.execute("SELECT 1 FROM gates WHERE name = 'redrive' FOR UPDATE SKIP LOCKED").fetchall()
        return bool(found)

    @override
    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(psycopg.Error):  # the lease runs out by itself
                session.execute("UPDATE relay SET leads_until = NULL WHERE leader = %s", [self._me])
            session.close()


_RENEW = f"""
    UPDATE relay SET
        leader_epoch = leader_epoch + CASE WHEN leader = %(me)s AND leads_until > now() THEN 0 ELSE {DRAWN_STEP} END,
        leader = %(me)s, leads_until = now() + make_interval(secs => %(seconds)s)
    WHERE leader = %(me)s OR leads_until IS NULL OR leads_until <= now()
    RETURNING leader_epoch
""".encode()


def locks(kind: str, connect: Connect, check: Callable[[Connection], None]) -> Locks:
    """Return the locks of a kind, `advisory` or `rows`; `connect` and `check` as `Locks` has them."""
    return (AdvisoryLocks if kind == "advisory" else RowLocks)(connect, check)


def _end(session: Connection) -> None:
    """Release the locks of a session and close it: the server detects a closed session only a moment later."""
    with suppress(psycopg.Error):
        session.rollback()
        session.execute("SELECT pg_advisory_unlock_all()")
    session.close()


@contextmanager
def only_redrive(kind: str, url: str, shown: str) -> Iterator[Callable[[], None]]:
    """Hold the lock that admits one redrive per store, across machines.

    Yields a callable that raises `StoreError` once the connection that holds it has ended.
    Raises `StoreInUseError` if another process holds the lock, and `StoreError` if the store cannot be reached.
    """

    def require_held() -> None:
        try:
            db.execute("SELECT 1")
        except psycopg.Error as error:
            raise explain(error, shown) from error

    with ExitStack() as stack:
        try:
            db = connect(url)
            stack.callback(_end, db)
            is_only = locks(kind, partial(connect, url), lambda _: None).try_to_redrive(db)
        except psycopg.Error as error:
            raise explain(error, shown) from error
        if not is_only:
            raise StoreInUseError(f"another redrive runs on the store {shown}")
        yield require_held
