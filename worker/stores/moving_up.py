"""A DuckDB store copied into PostgreSQL, whole: the worker goes on there as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import duckdb
import psycopg

from worker.store import StoreError
from worker.stores import postgres_rows as rows
from worker.stores.duckdb_file import explain as explain_duckdb
from worker.stores.duckdb_file import open_to_read
from worker.stores.migrations import newest_version
from worker.stores.postgres_connection import Connection, connect, explain, migrate, require_store

ROWS_AT_ONCE = 10_000
_TABLES = {  # what is copied of each, and in which order: the order that the copy's own numbers then have
    "customers": ("customer_id, industry, plan_tier, signup_date, mrr, churn_date", "customer_id"),
    "journal": ('"at", topic, partition, "offset", customer_id, outcome, reason, event_id', "rowid"),
    "parked": ('customer_id, topic, partition, "offset", timestamp_ms, key, value, headers, parked_at', "seq"),
    "outbox": ("seq, id, topic, partition, key, value, headers, customer_id, receipted, timestamp_ms", "seq"),
    "receipts": ("id", "rowid"),
    "redrives": ('dead_letter_id, topic, partition, "offset", value_sha256', "rowid"),
    "discards": ('dead_letter_id, "at", why', "rowid"),
    "positions": ("topic, partition, next_offset", "topic, partition"),
    "output_ends": ("topic, partition, end_offset", "topic, partition"),
}
_IS_IN_USE = " OR ".join(f"EXISTS (SELECT FROM {table})" for table in _TABLES)


def copy_to_postgres(path: str, url: str, shown: str, tell: Callable[[int, int], None]) -> int:
    """Copy the store in the file at `path` to the empty database at `url`, all or nothing; how many rows.

    `tell` is told how many rows are copied, of how many. Raises `StoreInUseError` where a worker has the file,
    and `StoreError` where it cannot be read, or the database is not empty or fails.
    """
    try:
        with closing(open_to_read(path)) as source, closing(connect(url)) as target:
            return _copy(source, target, shown, tell)
    except duckdb.Error as error:
        raise explain_duckdb(error, path) from error
    except psycopg.Error as error:
        raise explain(error, shown) from error


def _copy(source: duckdb.DuckDBPyConnection, target: Connection, shown: str, tell: Callable[[int, int], None]) -> int:
    migrate(target, from_nothing_only=True)
    require_store(target, shown, newest_version("postgres"))
    total = sum(source.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in _TABLES)
    copied = 0
    with target.transaction():
        target.execute(f"LOCK TABLE {', '.join(_TABLES)}".encode())  # no worker starts on half a store
        if target.execute(f"SELECT {_IS_IN_USE}".encode()).fetchall() == [(True,)]:
            raise StoreError(f"the store {shown} is not empty: name an empty database, or drop its tables first")
        for table, (columns, order) in _TABLES.items():
            query = f"SELECT {columns} FROM {table} ORDER BY {order}"
            for part in _parts(source.execute(query)):
                rows.copy(target, f"{table} ({columns})", part)
                copied += len(part)
                tell(copied, total)
        [(last, published)] = source.execute(
            "SELECT greatest((SELECT max(seq) FROM outbox), published_seq), published_seq FROM relay"
        ).fetchall()
        target.execute("UPDATE relay SET last_seq = %s, published_seq = %s", [last, published])
    target.execute(f"ANALYZE {', '.join(_TABLES)}".encode())
    return copied


def _parts(found: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    while part := found.fetchmany(ROWS_AT_ONCE):
        yield part
