"""Churns in a PostgreSQL store: the rows are loaded into DuckDB in memory, and summed as those of a DuckDB store.

Fingerprints are DuckDB's own, and records of a topic are read by the same queries: the sums cannot differ by method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from worker.stores.churns import ChurnDay, ChurnPair, PendingChurn, PublishedPosition
from worker.stores.duckdb import churns as duckdb_churns
from worker.stores.postgres import rows
from worker.stores.postgres.connection import Connection

GATHERED_AT_ONCE = 20_000
_LAST = 2**62  # rows that have no number yet come after all that have one
_TABLES = """
CREATE TABLE customer_arr (customer_id UUID, churn_date DATE, arr DECIMAL(38, 2));
CREATE TABLE outbox (seq BIGINT, topic VARCHAR, receipted BOOLEAN, value BLOB);
CREATE TABLE relay (published_seq BIGINT);
CREATE TABLE output_ends (topic VARCHAR, partition INTEGER, end_offset BIGINT);
"""
_CUSTOMER_ARR = "SELECT customer_id::text, churn_date, arr FROM customer_arr WHERE churn_date IS NOT NULL"
_OUTBOX = f"""
SELECT coalesce(seq_before + place, {_LAST} + {rows.ROW_NUMBER}), topic, receipted, value
FROM outbox JOIN outbox_commits USING (commit_id) WHERE topic = %s
"""


def published_up_to(db: Connection, topic: str) -> PublishedPosition:
    """Return the published position of the outbox and of this output topic."""
    with duckdb.connect() as gathered:
        gathered.execute(_TABLES)
        _gather(db, gathered, "relay", "SELECT published_seq FROM relay", [])
        ends = "SELECT topic, partition, end_offset FROM output_ends WHERE topic = %s"
        _gather(db, gathered, "output_ends", ends, [topic])
        return duckdb_churns.published_up_to(gathered, topic)


def churn_days(db: Connection, topic: str, published_seq: int, since: date, until: date) -> list[ChurnDay]:
    """Return each day with churns from `since` to `until`; rows up to `published_seq` count as published."""
    with _gathered(db, topic) as gathered:
        return duckdb_churns.churn_days(gathered, topic, published_seq, since, until)


def pending_churns(db: Connection, topic: str, published_seq: int, at_most: int) -> list[PendingChurn]:
    """Return the first events after `published_seq` that may not be on their topic, in order."""
    with _gathered(db, topic) as gathered:
        return duckdb_churns.pending_churns(gathered, topic, published_seq, at_most)


def churn_pairs(db: Connection, topic: str, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
    """Return each customer who churned on one of these days, by the customer or by the event."""
    with _gathered(db, topic) as gathered:
        return duckdb_churns.churn_pairs(gathered, topic, published_seq, days)


@contextmanager
def _gathered(db: Connection, topic: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as gathered:
        gathered.execute(_TABLES)
        _gather(db, gathered, "customer_arr", _CUSTOMER_ARR, [])
        _gather(db, gathered, "outbox", _OUTBOX, [topic])
        yield gathered


def _gather(db: Connection, gathered: duckdb.DuckDBPyConnection, table: str, query: str, parameters: list[Any]) -> None:
    """Fill a table with the result of a query, in parts. The query runs in the view's transaction."""
    with db.cursor("gathering") as cursor:
        cursor.itersize = GATHERED_AT_ONCE
        cursor.execute(query.encode(), parameters)
        while found := cursor.fetchmany(GATHERED_AT_ONCE):
            columns = {f"c{place}": pa.array(column) for place, column in enumerate(zip(*found, strict=True))}
            gathered.register("part", pa.table(columns))
            gathered.execute(f"INSERT INTO {table} SELECT * FROM part")
