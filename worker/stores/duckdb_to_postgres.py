"""Copy of a whole DuckDB store to PostgreSQL, on which workers then continue.

DuckDB itself writes the lines that PostgreSQL's COPY reads, so that no value passes through Python one by one, and the
indexes are created after the rows. Only DuckDB's cache grows with the store, up to its memory limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import duckdb
import psycopg

from worker.stores.duckdb.file import explain as explain_duckdb
from worker.stores.duckdb.file import open_to_read
from worker.stores.errors import StoreError
from worker.stores.migrations import newest_version
from worker.stores.postgres.connection import Connection, connect, explain, migrate, require_store
from worker.stores.postgres.rows import PLACES_BITS

Progress = Callable[[int, int], None]

LINES_AT_ONCE = 10_000
_SOURCE = "source_topic, source_partition, source_offset, decided_at"
_COPIED = {  # the columns of each table, and the source of their rows
    "customers": (f"customer_id, industry, plan_tier, signup_date, mrr, churn_date, {_SOURCE}", "FROM customers"),
    "decisions": ('"at", topic, partition, "offset", customer_id, outcome, reason, event_id', "FROM decisions"),
    "parked": (
        'customer_id, topic, partition, "offset", timestamp_ms, key, value, headers, parked_at',
        "FROM parked ORDER BY seq",
    ),
    # Numbers continue after those of DuckDB: the copied rows count as commits of the maximum size.
    "outbox": (
        f"commit_id, place, id, topic, partition, key, value, headers, customer_id, receipted, timestamp_ms, {_SOURCE}",
        f"""FROM (
            SELECT *, (seq - 1) >> {PLACES_BITS} AS commit_id, (seq - 1) % {2**PLACES_BITS} + 1 AS place FROM outbox
        )""",
    ),
    "outbox_commits": (
        "commit_id, last_place, seq_before",
        f"""FROM (
            SELECT (seq - 1) >> {PLACES_BITS} AS commit_id, max((seq - 1) % {2**PLACES_BITS} + 1) AS last_place,
                commit_id << {PLACES_BITS} AS seq_before
            FROM outbox GROUP BY commit_id
        )""",
    ),
    "receipts": ("id", "FROM receipts"),
    "redrives": ('dead_letter_id, topic, partition, "offset", value_sha256', "FROM redrives"),
    "discards": ('dead_letter_id, "at", why', "FROM discards"),
    "positions": (
        "topic, partition, next_offset, topic_id, record_offset, record_fingerprint",
        "FROM positions",
    ),
    "output_ends": ("topic, partition, end_offset", "FROM output_ends"),
}
_IS_IN_USE = " OR ".join(f"EXISTS (SELECT FROM {table})" for table in _COPIED)


def copy_to_postgres(path: str, url: str, shown: str, progress: Progress) -> int:
    """Copy the store in the file at `path` to the empty database at `url`, all or nothing; returns the number of rows.

    `progress` is called with the amount done and the total: a row counts once for itself and once for each index.
    Raises `StoreInUseError` if a worker has the file open, and `StoreError` if the file cannot be read, or the
    database is not empty or fails.
    """
    try:
        with closing(open_to_read(path)) as source, closing(connect(url)) as target:
            return _copy(source, target, shown, progress)
    except duckdb.Error as error:
        raise explain_duckdb(error, path) from error
    except psycopg.Error as error:
        raise explain(error, shown) from error


def _copy(source: duckdb.DuckDBPyConnection, target: Connection, shown: str, progress: Progress) -> int:
    migrate(target, from_nothing_only=True)
    require_store(target, shown, newest_version("postgres"))
    counts = {table: _count(source, what) for table, (_, what) in _COPIED.items()}
    with target.transaction():
        target.execute(f"LOCK TABLE {', '.join(_COPIED)}".encode())  # no worker starts on half a store
        if target.execute(f"SELECT {_IS_IN_USE}".encode()).fetchall() == [(True,)]:
            raise StoreError(f"the store {shown} is not empty. Set an empty database, or drop its tables first")
        target.execute(f"TRUNCATE {', '.join(_COPIED)}".encode())  # FREEZE requires it
        with _indexes_made_last(target, counts, progress) as count_rows:
            for table in _COPIED:
                _load(source, target, table, count_rows)
        _go_on_from_there(source, target)
    target.execute(f"ANALYZE {', '.join(_COPIED)}".encode())
    return sum(counts.values())


def _count(source: duckdb.DuckDBPyConnection, what: str) -> int:
    return int(source.execute(f"SELECT count(*) {what.partition(' ORDER BY ')[0]}").fetchall()[0][0])


def _load(source: duckdb.DuckDBPyConnection, target: Connection, table: str, count_rows: Callable[[int], None]) -> None:
    """Copy a table in the order of its rows in DuckDB; `count_rows` is called with the number of rows of each part."""
    columns, what = _COPIED[table]
    described = source.execute(f"DESCRIBE SELECT {columns} {what}").fetchall()
    line = ", ".join(_as_text(f'"{name}"', kind) for name, kind, *_ in described)
    # FREEZE: the rows are not visible before this transaction's end, and need no vacuum.
    command = f"COPY {table} ({columns}) FROM STDIN (FREEZE)".encode()
    found = source.execute(f"SELECT concat_ws(chr(9), {line}) {what}")
    with target.cursor() as cursor, cursor.copy(command) as copying:
        while lines := found.fetchmany(LINES_AT_ONCE):
            copying.write("".join(f"{text}\n" for (text,) in lines))
            count_rows(len(lines))


def _as_text(column: str, kind: str) -> str:
    """Return the SQL by which DuckDB writes a column as PostgreSQL's COPY reads it."""
    match kind:
        case "VARCHAR":
            text = f"replace({column}, '\\', '\\\\')"
            for character, escaped in ((9, "t"), (10, "n"), (13, "r")):
                text = f"replace({text}, chr({character}), '\\{escaped}')"
        case "BLOB":
            text = f"'\\\\x' || hex({column})"
        case _:
            text = f"CAST({column} AS VARCHAR)"
    return f"coalesce({text}, '\\N')"


@contextmanager
def _indexes_made_last(
    target: Connection, counts: dict[str, int], progress: Progress
) -> Iterator[Callable[[int], None]]:
    """Drop every index, and create all of them at the end. Yields a callable that counts the rows copied."""
    indexes = target.execute(_INDEXES).fetchall()
    done, total = 0, sum(counts.values()) + sum(counts.get(table, 0) for table, *_ in indexes)

    def count_rows(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, total)

    for table, name, _, constraint in indexes:
        kind = f"ALTER TABLE {table} DROP CONSTRAINT" if constraint else "DROP INDEX"
        target.execute(f"{kind} {name}".encode())
    yield count_rows
    target.execute("SET LOCAL maintenance_work_mem = '256MB'")
    for table, name, definition, constraint in indexes:
        statement = f"ALTER TABLE {table} ADD CONSTRAINT {name} {constraint}" if constraint else definition
        target.execute(statement.encode())
        count_rows(counts.get(table, 0))


_INDEXES = f"""
SELECT relname, indexrelid::regclass::text, pg_get_indexdef(indexrelid), pg_get_constraintdef(pg_constraint.oid)
FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
LEFT JOIN pg_constraint ON conindid = indexrelid AND contype = 'p'
WHERE relnamespace = current_schema::regnamespace AND relname IN ({", ".join(f"'{table}'" for table in _COPIED)})
"""


def _go_on_from_there(source: duckdb.DuckDBPyConnection, target: Connection) -> None:
    """Continue sequences after the numbers that were copied."""
    [(last, published)] = source.execute(
        "SELECT greatest((SELECT max(seq) FROM outbox), published_seq), published_seq FROM relay"
    ).fetchall()
    target.execute("UPDATE relay SET last_seq = %s, published_seq = %s", [last, published])
    [(next_commit,)] = target.execute("SELECT coalesce(max(commit_id) + 1, 1) FROM outbox_commits").fetchall()
    target.execute(f"ALTER TABLE outbox_commits ALTER commit_id RESTART WITH {int(next_commit)}".encode())
