"""The content of the worker's store, read from the public tables and the table of parked records."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from tests.support.oracle import Customer
from tests.support.records import Coordinates


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One decision."""

    at: dt.datetime
    where: Coordinates
    customer_id: str | None
    outcome: str
    reason: str | None
    event_id: str | None


@dataclass(frozen=True, slots=True)
class StoreContent:
    """The store after the worker has stopped. The journal rows of a record are in the order of their decisions."""

    customers: dict[str, Customer]
    journal: list[JournalRow]
    parked: list[Coordinates]

    def decisions(self) -> dict[Coordinates, list[JournalRow]]:
        """Each record's rows in order; the last one is its outcome."""
        rows: dict[Coordinates, list[JournalRow]] = {}
        for row in self.journal:
            rows.setdefault(row.where, []).append(row)
        return rows


_CUSTOMERS = "SELECT customer_id, industry, plan_tier, signup_date, mrr, churn_date FROM customers"
_JOURNAL = 'SELECT "at", topic, partition, "offset", customer_id, outcome, reason, event_id FROM journal'
_NUMBERS = 'SELECT "at", topic, partition, "offset", outcome, number FROM numbered_decisions'
_PARKED = 'SELECT topic, partition, "offset" FROM parked'


Ask = Callable[[str], list[tuple[Any, ...]]]


@contextmanager
def asking(file: Path) -> Iterator[Ask]:
    """Yield queries on the file; no worker may have it open."""
    with duckdb.connect(str(file), read_only=True) as connection:
        yield lambda query: connection.execute(query).fetchall()


@contextmanager
def asking_postgres(url: str) -> Iterator[Ask]:
    """Yield queries on the store in PostgreSQL, also beside its workers."""
    with psycopg.connect(url) as connection:
        yield lambda query: connection.execute(query.encode()).fetchall()


def read_store(file: Path) -> StoreContent:
    """Read the whole store; no worker may have it open."""
    with asking(file) as ask:
        return _content(ask(_CUSTOMERS), ask(_JOURNAL), ask(_PARKED))


def read_postgres(url: str) -> StoreContent:
    """Read the whole store in PostgreSQL."""
    with asking_postgres(url) as ask:
        # The clocks of several workers differ: times do not show the order of decisions.
        numbers: dict[tuple[Any, ...], int] = dict(sorted(((row[:-1], row[-1]) for row in ask(_NUMBERS)), reverse=True))
        journal = sorted(ask(_JOURNAL), key=lambda row: numbers[row[0], row[1], row[2], row[3], row[5]])
        return _content(ask(_CUSTOMERS), journal, ask(_PARKED))


def _content(
    customers: Sequence[tuple[Any, ...]], journal: Sequence[tuple[Any, ...]], parked: Sequence[tuple[Any, ...]]
) -> StoreContent:
    return StoreContent(
        customers={str(customer_id): Customer(*rest) for customer_id, *rest in customers},
        journal=[
            JournalRow(at, (topic, partition, offset), _text(customer_id), outcome, reason, _text(event_id))
            for at, topic, partition, offset, customer_id, outcome, reason, event_id in journal
        ],
        parked=[(topic, partition, offset) for topic, partition, offset in parked],
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
