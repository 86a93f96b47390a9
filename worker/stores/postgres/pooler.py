"""Connections through a pooler: refused unless each has a separate PostgreSQL session until it is closed.

PgBouncer in session mode provides that. In transaction mode each transaction runs on any server connection: settings
and advisory locks of a session are lost, or are those of another client. The mark of a connection is a setting that
only its own session has. Each transaction that writes verifies the mark again, so that a pooler that is reconfigured
while workers run stops commits.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import psycopg

from worker.stores.postgres.session import Connection, UnusableSessionError

MARK = "current_setting('customer_worker.connection', true)"
"""Of a session, in SQL: the mark of the connection that has it; NULL or empty without one."""

ANSWER_SECONDS = 10.0
_ROUNDS = 3


def mark_of(db: Connection) -> str:
    """Return the mark of this connection's session. A pooler makes up another number for each of its clients."""
    return str(db.info.backend_pid)


def require_session(db: Connection, connect_another: Callable[[], Connection]) -> None:
    """Set the mark of the session. Raises `UnusableSessionError` if a pooler shares sessions between connections.

    PostgreSQL's own number of the session shows a pooler: the client was given another one. Through a pooler a second
    connection begins a transaction. Where sessions are shared it gets the marked one, or takes it away from `db`.
    """
    with _answering(db):
        query = "SELECT pg_backend_pid(), set_config('customer_worker.connection', %s, false)"
        [(number, _)] = db.execute(query, [mark_of(db)], prepare=False).fetchall()
    if number == db.info.backend_pid:
        return
    with closing(connect_another()) as other, _answering(db), _answering(other):
        for _ in range(_ROUNDS):
            other.execute("BEGIN")
            [(found,)] = other.execute(f"SELECT {MARK}".encode(), prepare=False).fetchall()
            if found == mark_of(db):
                raise lost()
            require_mark(db)
            other.execute("ROLLBACK")


def require_mark(db: Connection) -> None:
    """Raise `UnusableSessionError` if the session is not the one that this connection began with."""
    [(found,)] = db.execute(f"SELECT {MARK}".encode(), prepare=False).fetchall()
    if found != mark_of(db):
        raise lost()


def lost() -> UnusableSessionError:
    """Return the error of a connection whose session was changed by a pooler."""
    return UnusableSessionError(
        "a pooler changes the session between transactions, which loses settings and locks. Set PgBouncer's pool_mode "
        "to session for this database or user, or name PostgreSQL itself in CUSTOMER_WORKER_STORE__URL"
    )


@contextmanager
def _answering(db: Connection) -> Iterator[None]:
    """End the connection if the block takes too long: a pooler without a free server connection lets clients wait."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(db.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(ANSWER_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except psycopg.Error as error:
        if "pooling mode" in str(error):  # PgBouncer's refusal of transactions in statement mode
            raise lost() from error
        if is_late.is_set():
            raise UnusableSessionError(
                f"no answer within {ANSWER_SECONDS:.0f} s after connecting: the server is overloaded, or a pooler has "
                "no free server connection. Check the server; behind PgBouncer set default_pool_size to at least four "
                "for each worker"
            ) from error
        raise
    finally:
        timer.cancel()
