"""A PostgreSQL store answers beside its workers as a DuckDB store does, also one that was copied from it."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from tests.postgres.server import Postgres, fresh_schema
from tests.store.changes import a_bit_of_everything, everything_in, prepare
from tests.store.databases import DuckDBDatabase, PostgresDatabase
from tests.worker.builders import (
    BOB,
    CANCELLATIONS,
    CHURNED,
    EVE,
    NOON_MS,
    SIGNUPS,
    apply,
    cancellation,
    record,
    signup,
)
from worker.dead_letters.letters import Filters
from worker.store import Store
from worker.stores.duckdb import DuckDBStore
from worker.stores.moving_up import copy_to_postgres
from worker.stores.postgres import PostgresStore

SOURCES = {f"{SIGNUPS}-dlt": SIGNUPS, f"{CANCELLATIONS}-dlt": CANCELLATIONS}
RECORDS = [
    signup(0),
    signup(1, BOB),
    cancellation(0),
    cancellation(1, BOB),
    cancellation(2, BOB, "2026-07-01"),
    cancellation(3, EVE),
    record(b"x", SIGNUPS, 2),
]


def answers(store: Store) -> dict[str, Any]:
    """What a store says of records of every kind, times aside."""
    apply(store, RECORDS)
    assert store.last_seq == 4
    store.discard([f"{SIGNUPS}/0/2@{NOON_MS}"], "a test of billing's")
    with store.view() as view:
        letters = view.dead_letters(SOURCES, Filters())
        seqs = [letter.seq for letter in letters]
        return {
            "letters": [letter._replace(refused_at=letters[0].refused_at)[1:6] + letter[7:] for letter in letters],
            "of Bob": [letter.id for letter in view.dead_letters(SOURCES, Filters(customer=BOB))],
            "malformed": [letter.id for letter in view.dead_letters(SOURCES, Filters(reason="malformed"))],
            "by id": [letter.id for letter in view.dead_letters(SOURCES, Filters(ids=(f"{SIGNUPS}/0/2",)))],
            "records": view.letter_records(seqs, up_to_bytes=10**6),
            "one record": view.letter_records(seqs, up_to_bytes=1),
            "small records": view.letter_records(seqs, up_to_bytes=10**6, largest_value=3),
            "at stake": view.at_stake(SOURCES),
            "mark": view.published_up_to(CHURNED),
            "days": view.churn_days(CHURNED, 1, date(2026, 1, 1), date(2026, 12, 31), pending_at_most=10),
            "pairs": view.churn_pairs(CHURNED, 1, [date(2026, 6, 30)]),
            "positions": view.positions(),
        }


def test_dead_letters_and_churns_are_told_as_by_duckdb(postgres_server: Callable[[], Postgres]) -> None:
    duckdb, postgres = DuckDBStore(":memory:"), PostgresStore(fresh_schema(postgres_server()), "postgresql://here")
    assert answers(postgres) == answers(duckdb)
    duckdb.close()
    postgres.close()


def test_a_store_moved_up_has_everything(postgres_server: Callable[[], Postgres], tmp_path: Path) -> None:
    before = DuckDBDatabase(str(tmp_path / "customers.duckdb"))
    store = before.open()
    prepare(store)
    store.commit(a_bit_of_everything())
    store.mark_published(1, {(CHURNED, 1): 2})
    store.keep_receipts(["later"], {})
    store.discard(["letter"], "why")
    wanted = everything_in(before, store)
    before.close()
    after = PostgresDatabase(fresh_schema(postgres_server()))
    assert copy_to_postgres(before.path, after.url, "postgresql://here", lambda _, __: None) > 0
    moved = after.open()
    assert everything_in(after, moved) == wanted
    after.close()
