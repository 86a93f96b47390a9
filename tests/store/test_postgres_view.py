"""Views of a PostgreSQL store equal those of DuckDB, also for a copied store."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import (
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
from tests.support.changes import a_bit_of_everything, everything_in, ids, outgoing, prepare
from tests.support.databases import DuckDBDatabase, PostgresDatabase
from tests.support.postgres.server import Postgres, fresh_schema
from worker.settings import Settings
from worker.stores.arr_at_stake import at_stake
from worker.stores.changes import Changes
from worker.stores.dead_letters import Filters
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.duckdb_to_postgres import copy_to_postgres
from worker.stores.port import Store
from worker.stores.postgres.checks import DECIDED
from worker.stores.postgres.store import PostgresStore

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
    """Return the content of a store for records of every kind, without times."""
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
            "records": [it[1:] for it in view.letter_records(seqs, up_to_bytes=10**6)],
            "one record": [it[1:] for it in view.letter_records(seqs, up_to_bytes=1)],
            "small records": [it[1:] for it in view.letter_records(seqs, up_to_bytes=10**6, largest_value=3)],
            "in order": [it.seq for it in view.letter_records(seqs, up_to_bytes=10**6)] == seqs,
            "at stake": at_stake(view, Settings())[:2],
            "waiting letters": [it[1:-1] for it in view.waiting_letters(SOURCES)],
            "mark": view.published_up_to(CHURNED),
            "days": view.churn_days(CHURNED, 1, date(2026, 1, 1), date(2026, 12, 31), pending_at_most=10),
            "pairs": view.churn_pairs(CHURNED, 1, [date(2026, 6, 30)]),
            "positions": view.positions(),
        }


def test_dead_letters_and_churns_equal_those_of_duckdb(postgres_server: Callable[[], Postgres]) -> None:
    duckdb, postgres = DuckDBStore(":memory:"), PostgresStore(fresh_schema(postgres_server()), "postgresql://here")
    assert answers(postgres) == answers(duckdb)
    duckdb.close()
    postgres.close()


def test_copied_store_has_everything(postgres_server: Callable[[], Postgres], tmp_path: Path) -> None:
    before = DuckDBDatabase(str(tmp_path / "customers.duckdb"))
    store = before.open()
    prepare(store)
    store.commit(a_bit_of_everything())
    store.mark_published(1, {(CHURNED, 1): 2})
    store.keep_receipts(["later"], {})
    store.discard([f"{SIGNUPS}/0/7@{NOON_MS}"], "why: a\ttab, two\r\nlines, \\N and \\t")
    wanted = everything_in(before, store)
    before.close()
    after = PostgresDatabase(fresh_schema(postgres_server()))
    told: list[tuple[int, int]] = []
    assert copy_to_postgres(before.path, after.url, "postgresql://here", lambda *how_far: told.append(how_far)) > 0
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    moved = after.open()
    assert everything_in(after, moved) == wanted
    moved.commit(Changes(outbox=[outgoing("after the move")]))
    assert ids(moved.pending(1, 10).messages)[-1] == "after the move"
    after.close()


def test_large_outbox_is_copied_in_order(postgres_server: Callable[[], Postgres], tmp_path: Path) -> None:
    before = DuckDBDatabase(str(tmp_path / "customers.duckdb"))
    store = before.open()
    store.commit(Changes(outbox=[outgoing(str(number)) for number in range(5)]))
    store._db.execute("UPDATE outbox SET seq = seq + 16777213")  # 2^24 is the third of them
    store._db.execute("UPDATE progress SET published_seq = 16777213")
    before.close()
    after = PostgresDatabase(fresh_schema(postgres_server()))
    copy_to_postgres(before.path, after.url, "postgresql://here", lambda _, __: None)
    moved = after.open()
    found = moved.pending(16_777_213, 10)
    assert (ids(found.messages), found.last_seq) == (["0", "1", "2", "3", "4"], 16_777_218)
    assert moved.pending(16_777_215, 2).last_seq == 16_777_217
    after.close()


def test_copied_store_has_every_index(postgres_server: Callable[[], Postgres], tmp_path: Path) -> None:
    before = DuckDBDatabase(str(tmp_path / "customers.duckdb"))
    before.open()
    before.close()
    fresh, moved = (PostgresDatabase(fresh_schema(postgres_server())) for _ in range(2))
    copy_to_postgres(before.path, moved.url, "postgresql://here", lambda _, __: None)
    names = """
        SELECT indexname, regexp_replace(indexdef, 't_[0-9a-f]{12}[.]', '') FROM pg_indexes
        WHERE schemaname = current_schema ORDER BY indexname
    """
    assert moved.rows(moved.open(), names) == fresh.rows(fresh.open(), names)
    fresh.close()
    moved.close()


@pytest.fixture
def large(postgres_server: Callable[[], Postgres]) -> Iterator[PostgresStore]:
    """Yield a store with 20,000 churned customers, so that the planner has a reason to use indexes."""
    store = PostgresDatabase(fresh_schema(postgres_server())).open()
    numbers = "generate_series(1, 20000) AS numbers (n)"
    store._db.execute(f"""
        INSERT INTO customers SELECT md5(n::text)::uuid, 'FinTech', 'growth', '2026-01-15', 499, '2026-06-30',
            '{SIGNUPS}', n % 8, n / 8, now() FROM {numbers};
        INSERT INTO outbox SELECT 1, n, md5((-n)::text)::uuid::text, '{CHURNED}', NULL, NULL, NULL, '',
            md5(n::text)::uuid, false, 0, '{CANCELLATIONS}', n % 8, n / 8, now() FROM {numbers};
        INSERT INTO decisions ("at", topic, partition, "offset", customer_id, outcome)
            SELECT now(), '{SIGNUPS}', n % 8, n, md5(n::text)::uuid, 'duplicate' FROM {numbers};
        ANALYZE customers, outbox, decisions;
    """.encode())  # fmt: skip
    yield store
    store.close()


LOOK_UPS = {
    "decisions of a customer": "SELECT * FROM journal WHERE customer_id = md5('7')::uuid",
    "decisions of a record": f"SELECT * FROM journal WHERE topic = '{SIGNUPS}' AND partition = 3 AND \"offset\" = 7",
    "decided records": DECIDED % {"topics": f"'{{{SIGNUPS}}}'", "partitions": "'{3}'", "offsets": "'{7}'"},
    "state of a record": f"""
        SELECT outcome FROM (VALUES ('{SIGNUPS}', 3, 7::bigint)) AS letter (topic, partition, place), LATERAL (
            SELECT outcome FROM numbered_decisions AS decision WHERE decision.topic = letter.topic
                AND decision.partition = letter.partition AND decision."offset" = letter.place
            ORDER BY number DESC LIMIT 1
        ) AS own
    """,
}


@pytest.mark.parametrize("look_up", LOOK_UPS)
def test_few_decisions_are_looked_up_by_indexes(large: PostgresStore, look_up: str) -> None:
    plan = "\n".join(line for (line,) in large._db.execute(f"EXPLAIN {LOOK_UPS[look_up]}".encode()).fetchall())
    assert "Seq Scan" not in plan, plan


def test_churn_of_a_customer_writes_to_no_index(large: PostgresStore) -> None:
    with large._db.transaction():
        large._db.execute("UPDATE customers SET churn_date = '2026-07-01' WHERE customer_id = md5('7')::uuid")
        query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relid = 'customers'::regclass"
        assert large._db.execute(query).fetchall() == [(1, 1)]
