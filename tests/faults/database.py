"""The PostgreSQL that many workers share, with a proxy of its own for each worker before it."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.faults.proxy import HOST, Doors, at_socket
from tests.support.postgres.replication import Pair, replicated_postgres
from tests.support.postgres.server import WheelPostgres, fresh_schema


class Database:
    """`server` is what faults hurt, the primary of `pair`, which has a standby only where a fault adds one.

    Workers come in by `doors`, each by its own and under a name of its own.
    """

    def __init__(self, pair: Pair, doors: Sequence[Doors]) -> None:
        self.pair = pair
        self.doors = doors
        with psycopg.connect(self.server.url, autocommit=True) as db:
            for slot in range(len(doors)):
                db.execute(f"CREATE ROLE {_name(slot)} SUPERUSER LOGIN".encode())

    @property
    def server(self) -> WheelPostgres:
        """The primary."""
        return self.pair.primary

    def fresh_store(self) -> str:
        """Return the direct URL of a store that holds nothing."""
        return fresh_schema(self.pair)

    def url_for(self, slot: int, store: str, *, only: WheelPostgres | None = None) -> str:
        """Return the URL by which this worker connects to the store at the direct URL `store`.

        It names the hosts of both servers, or that of `only` one.
        """
        parts = conninfo_to_dict(store)
        ports = zip(self.pair.directories, self.doors[slot].ports, strict=True)
        hosts = ",".join(f"{HOST}:{port}" for directory, port in ports if only is None or directory == only.directory)
        settings = f"target_session_attrs=read-write&options={quote(str(parts['options']))}"
        return f"postgresql://{_name(slot)}@{hosts}/{parts['dbname']}?{settings}"

    def publisher(self, store: str) -> int | None:
        """Return the worker that is the leader of the relay; None if there is none."""
        with psycopg.connect(store, autocommit=True) as db:
            found = db.execute(_LEADER).fetchall()
        return int(found[0][0].removeprefix(_name(""))) if found else None

    def end_transactions(self, store: str) -> int:
        """End every session of a worker that is in a transaction now; how many."""
        with psycopg.connect(store, autocommit=True) as db:
            return int(db.execute(_END_TRANSACTIONS).fetchall()[0][0])

    def claim_all(self, store: str) -> int:
        """Take every partition from its owner; how many."""
        with psycopg.connect(store, autocommit=True) as db:
            return db.execute("UPDATE positions SET owner_epoch = owner_epoch + 1").rowcount

    def set_defaults(self, slot: int, values: Mapping[str, str]) -> None:
        """Set defaults of the sessions that this worker begins from now on."""
        with psycopg.connect(self.server.url, autocommit=True) as db:
            for name, value in values.items():
                db.execute(f"ALTER ROLE {_name(slot)} SET {name} = {value!r}".encode())

    def reset_defaults(self, slot: int) -> None:
        """Reset the defaults; sessions that have begun keep theirs."""
        with psycopg.connect(self.server.url, autocommit=True) as db:
            db.execute(f"ALTER ROLE {_name(slot)} RESET ALL".encode())

    def sessions(self, slot: int) -> set[int]:
        """Return the sessions in which this worker decides batches."""
        query = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND application_name = 'customer-worker'"
        with psycopg.connect(self.server.url, autocommit=True) as db:
            return {pid for (pid,) in db.execute(query, [_name(slot)]).fetchall()}

    def empty(self, store: str) -> None:
        """Lose what the store holds, and its tables."""
        with psycopg.connect(store, autocommit=True) as db:
            [(schema,)] = db.execute("SELECT current_schema()").fetchall()
            db.execute(f"DROP SCHEMA {schema} CASCADE".encode())
            db.execute(f"CREATE SCHEMA {schema}".encode())

    def dump(self, store: str, into: Path) -> None:
        """Write every table to a file, to be looked into later."""
        with psycopg.connect(store) as db:
            for (table,) in db.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            ).fetchall():
                with db.cursor().copy(f"COPY {table} TO STDOUT (FORMAT csv, HEADER)".encode()) as rows:
                    (into / f"{table}.csv").write_bytes(b"".join(rows))

    def move(self, store: str, directory: Path) -> Callable[[], None]:
        """Bring the tables, indexes and all, to an empty directory; gives what moves them back."""
        name = f"at_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.server.url, autocommit=True) as db:
            db.execute(f"CREATE TABLESPACE {name} LOCATION '{directory}'".encode())
        self._move_into(store, name)

        def move_back() -> None:
            self._move_into(store, "pg_default")
            with psycopg.connect(self.server.url, autocommit=True) as db:
                db.execute(f"DROP TABLESPACE {name}".encode())

        return move_back

    def _move_into(self, store: str, tablespace: str) -> None:
        """One at a time, each waiting for the batches in hand."""
        with psycopg.connect(store, autocommit=True) as db:
            for kind, name in db.execute(_TABLES_AND_INDEXES).fetchall():
                db.execute(f"ALTER {kind} {name} SET TABLESPACE {tablespace}".encode())


@contextmanager
def running_database(workers: int) -> Iterator[Database]:
    """Start PostgreSQL from the wheel, on this machine, where its processes can be hurt; ends it with the block."""
    with ExitStack() as cleanup:
        pair = cleanup.enter_context(replicated_postgres())
        doors = [Doors(list(map(at_socket, pair.sockets)), speaks_kafka=False) for _ in range(workers)]
        for each in doors:
            cleanup.callback(each.close)
        yield Database(pair, doors)


def _name(slot: int | str) -> str:
    return f"worker_{slot}"


_LEADER = """
    SELECT usename FROM pg_locks JOIN pg_stat_activity USING (pid),
        hashtextextended('customer-worker relay ' || current_schema(), 0) AS key
    WHERE locktype = 'advisory' AND granted
        AND classid = ((key >> 32) & 4294967295)::oid AND objid = (key & 4294967295)::oid
"""
_TABLES_AND_INDEXES = """
    SELECT CASE relkind WHEN 'r' THEN 'TABLE' ELSE 'INDEX' END, relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i')
"""
_END_TRANSACTIONS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'customer-worker' AND xact_start IS NOT NULL
"""
