"""The tables that others may read, and the statements that read a whole one of them.

A past state is that which the times in the journal say: decisions with a later `at` are taken back. It needs no further
records, because a customer's terms never change, and the only change of a customer is the churn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa


class PublicTable(StrEnum):
    """A table that others may read. `churned` has the payload of each `customer.churned` event."""

    CUSTOMERS = "customers"
    CHURNED = "churned"
    JOURNAL = "journal"


COLUMNS: Mapping[PublicTable, tuple[str, ...]] = {
    PublicTable.CUSTOMERS: ("customer_id", "industry", "plan_tier", "signup_date", "mrr", "churn_date"),
    PublicTable.CHURNED: (
        "customer_id", "signup_date", "churn_date", "tenure_days", "is_early_stage", "industry", "plan_tier", "mrr",
        "lost_arr", "reason",
    ),
    PublicTable.JOURNAL: ("at", "topic", "partition", "offset", "customer_id", "outcome", "reason", "event_id"),
}  # fmt: skip
EVENT = "value"
"""The one column of `churned` as a store streams it: the event's JSON."""
ROWS_AT_ONCE = 10_000


class TableStream(NamedTuple):
    """Rows of a table in batches, in no particular order.

    Columns are typed as in the store, except ids, which are text. `churned` has the column `EVENT` alone. Times are in
    UTC, without a zone. The iterator raises `StoreError`.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


class Dialect(NamedTuple):
    """Differences between the databases: the parameter, and templates whose one field is the expression."""

    as_of: str
    text: str
    utc: str


DUCKDB = Dialect("$as_of", "decode({})", "{}")
POSTGRES = Dialect("%(as_of)s", "convert_from({}, 'UTF8')", "{} AT TIME ZONE 'UTC'")


def streamed_columns(table: PublicTable, columns: Sequence[str]) -> list[str]:
    """Return the columns that a store streams for these columns."""
    return [EVENT] if table is PublicTable.CHURNED else list(columns)


def rows_of(table: PublicTable, columns: Sequence[str], dialect: Dialect, *, is_past: bool) -> str:
    """Return the statement that reads these columns; with `is_past`, as of the time in its one parameter."""
    selected = ", ".join(
        f'{_expression(table, name, dialect, is_past=is_past)} AS "{name}"' for name in streamed_columns(table, columns)
    )
    query = f"SELECT {selected} FROM {_SOURCES[table]}"
    if is_past:
        query += _PAST[table].format(as_of=dialect.as_of)
    if table is PublicTable.CHURNED:
        query += " WHERE partition IS NULL"  # dead letters have one
    return query


_IDS = {"customer_id", "event_id"}
_SOURCES = {
    PublicTable.CUSTOMERS: "customers",
    PublicTable.CHURNED: "outbox",
    PublicTable.JOURNAL: "journal",
}
_APPLIED = """SELECT DISTINCT {column} FROM journal WHERE outcome = 'applied' AND "at" <= {{as_of}} AND event_id"""
_SIGNED_UP = f"{_APPLIED.format(column='customer_id')} IS NULL"
_CHURNED = f"{_APPLIED.format(column='customer_id')} IS NOT NULL"
_EVENTS = f"{_APPLIED.format(column='CAST(event_id AS VARCHAR) AS id')} IS NOT NULL"
# Joins, because PostgreSQL would look up each row of a long IN list by itself.
_PAST = {
    PublicTable.CUSTOMERS: f"""
        JOIN ({_SIGNED_UP}) AS signups ON signups.customer_id = customers.customer_id
        LEFT JOIN ({_CHURNED}) AS churns ON churns.customer_id = customers.customer_id
    """,
    PublicTable.CHURNED: f" JOIN ({_EVENTS}) AS events ON events.id = outbox.id",
    PublicTable.JOURNAL: ' WHERE "at" <= {as_of}',
}


def _expression(table: PublicTable, name: str, dialect: Dialect, *, is_past: bool) -> str:
    if name == EVENT:
        return dialect.text.format(EVENT)
    if name == "at":
        return dialect.utc.format('"at"')
    if name == "churn_date" and is_past:
        return "CASE WHEN churns.customer_id IS NOT NULL THEN churn_date END"
    if name in _IDS:
        return f"CAST({_SOURCES[table]}.{name} AS VARCHAR)"
    return f'"{name}"'
