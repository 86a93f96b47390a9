"""Whole tables are streamed as they are stored, and as they were at any time that the journal knows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.support.builders import CANCELLATIONS, SIGNUPS, apply, cancellation, customer_id, record, signup
from tests.support.databases import Database, DuckDBDatabase
from tests.worker.clock import NOON, Clock
from worker.messages.record import PlainRecord
from worker.settings import Settings
from worker.settings import Store as StoreSettings
from worker.snapshots.sql import Limits, run_sql
from worker.stores.errors import StoreError
from worker.stores.port import Store
from worker.stores.public_tables import COLUMNS, EVENT, PublicTable

Rows = list[tuple[Any, ...]]
WHO = [customer_id(number) for number in range(6)]
AWKWARD = "=1+1\n\"quoted\", 'x' \\ \\N é\r\t\0"


@pytest.fixture(params=["whole", "in parts of 2"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "whole":
        for database in ("duckdb", "postgres"):
            monkeypatch.setattr(f"worker.stores.{database}.table_stream.ROWS_AT_ONCE", 2)


def rows(store: Store, table: PublicTable, as_of: datetime | None = None, columns: Sequence[str] | None = None) -> Rows:
    """Return the streamed rows of a table, sorted."""
    wanted = columns or COLUMNS[table]
    with store.view() as view:
        schema, batches = view.stream(table, wanted, as_of)
        found = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    assert schema.names == ([EVENT] if table is PublicTable.CHURNED else list(wanted))
    return sorted(found, key=str)


def state(store: Store, as_of: datetime | None = None) -> dict[PublicTable, Rows]:
    return {table: rows(store, table, as_of) for table in PublicTable}


@pytest.mark.usefixtures("parts")
def test_tables_are_streamed_as_stored(store: Store) -> None:
    store._clock = Clock()  # type: ignore[attr-defined]
    reason = msgspec.json.encode(AWKWARD).decode()
    apply(store, [
        signup(0, WHO[0], mrr='"83.333333"'), signup(1, WHO[1]), signup(1, WHO[1]),
        cancellation(0, WHO[0], reason=reason), cancellation(1, WHO[2]), cancellation(2, WHO[1], "2026-01-14"),
        record(b"x", SIGNUPS, 2, partition=3),
    ])  # fmt: skip
    at, day = NOON.replace(tzinfo=None), date(2026, 1, 15)
    assert rows(store, PublicTable.CUSTOMERS) == [
        (WHO[0], "FinTech", "growth", day, Decimal("83.333333"), date(2026, 6, 30)),
        (WHO[1], "FinTech", "growth", day, Decimal("499.000000"), None),
    ]
    assert [row[:-1] for row in rows(store, PublicTable.JOURNAL)] == sorted([
        (at, SIGNUPS, 0, 0, WHO[0], "applied", None), (at, SIGNUPS, 0, 1, WHO[1], "applied", None),
        (at, SIGNUPS, 0, 1, WHO[1], "duplicate", None), (at, CANCELLATIONS, 0, 0, WHO[0], "applied", None),
        (at, CANCELLATIONS, 0, 1, WHO[2], "parked", None),
        (at, CANCELLATIONS, 0, 2, WHO[1], "rejected", "churn_before_signup"),
        (at, SIGNUPS, 3, 2, None, "rejected", "malformed"),
    ], key=str)  # fmt: skip
    [(event,)] = rows(store, PublicTable.CHURNED)
    assert msgspec.json.decode(event)["reason"] == AWKWARD


def test_chosen_columns_are_streamed(store: Store) -> None:
    apply(store, [signup(0, WHO[0]), cancellation(0, WHO[0])])
    assert rows(store, PublicTable.CUSTOMERS, columns=["churn_date", "plan_tier"]) == [(date(2026, 6, 30), "growth")]
    assert rows(store, PublicTable.JOURNAL, columns=["outcome"]) == [("applied",), ("applied",)]


def test_empty_tables_have_their_columns(store: Store) -> None:
    assert state(store) == state(store, NOON) == {table: [] for table in PublicTable}


def batches() -> list[list[PlainRecord]]:
    """Return batches of contradictory records about a few customers, others on each run."""
    offsets = dict.fromkeys((SIGNUPS, CANCELLATIONS), 0)
    made: list[list[PlainRecord]] = [[] for _ in range(12)]
    for batch in made:
        for _ in range(random.randrange(1, 8)):
            topic, who = random.choice([SIGNUPS, CANCELLATIONS]), random.choice(WHO)
            offset = offsets[topic]
            offsets[topic] += 1
            if topic == SIGNUPS:
                batch.append(signup(offset, who, plan_tier=random.choice(['"growth"', '"growth"', '"gold"'])))
            else:
                batch.append(cancellation(offset, who, random.choice(["2026-06-30", "2026-07-01", "2026-01-01"])))
    return made


def test_past_states_equal_those_seen_at_the_time(store: Store) -> None:
    clock = Clock()
    store._clock = clock  # type: ignore[attr-defined]
    seen = {clock.now - timedelta(microseconds=1): state(store)}
    for batch in batches():
        apply(store, batch)
        seen[clock.now] = state(store)
        clock.now += timedelta(seconds=1)
        seen[clock.now - timedelta(microseconds=1)] = state(store)
    assert {moment: state(store, moment) for moment in seen} == seen
    assert state(store, clock.now.astimezone()) == state(store)
    for topic in (SIGNUPS, CANCELLATIONS):  # an operator accepts other logs, which moves the decisions
        store.forget_position((topic, 0), 0)
    assert {moment: state(store, moment) for moment in seen} == seen


def test_interrupted_stream_is_a_store_error(durable: Database) -> None:
    store = durable.open()
    durable.rows(
        store,
        """
        INSERT INTO decisions ("at", topic, partition, "offset", outcome)
        SELECT TIMESTAMP '2026-01-01', 'topic', 0, n, 'duplicate' FROM generate_series(1, 100000) AS numbers (n)
        RETURNING 1
        """,
    )
    with store.view() as view:
        batches = view.stream(PublicTable.JOURNAL, ["topic", "offset"]).batches
        next(batches)
        view.interrupt()
        with pytest.raises(StoreError, match=r"the store .* (failed|refused|cannot be reached)"):
            list(batches)


def test_statement_has_the_same_result_on_either_store(durable: Database) -> None:
    store = durable.open()
    apply(store, [signup(0, WHO[0]), signup(1, WHO[1]), cancellation(0, WHO[0]), cancellation(1, WHO[0])])
    store.close()
    url = f"duckdb:///{durable.path}" if isinstance(durable, DuckDBDatabase) else durable.url  # type: ignore[attr-defined]
    settings = Settings(store=StoreSettings.model_validate({"url": url}))
    statement = """
        SELECT outcome, count(*), any_value(lost_arr), max("at") <= now()::TIMESTAMP + INTERVAL 1 MINUTE
        FROM journal JOIN churned USING (customer_id) GROUP BY outcome ORDER BY outcome
    """
    with run_sql(settings, statement, Limits(10, 30, 256), lambda _: None) as result:
        found = [tuple(row.values()) for row in result.rows.read_all().to_pylist()]
    assert found == [("applied", 2, Decimal("5988.00"), True), ("duplicate", 1, Decimal("5988.00"), True)]
