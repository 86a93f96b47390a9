"""Dry runs on PostgreSQL give the store's results, invisible to the database and to workers."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    CHURNED,
    EVE,
    NOON_MS,
    SIGNUPS,
    batch_path,
    cancellation,
    customer,
    decoded,
    record,
    signup,
)
from tests.support.changes import details, ids, outgoing, parked, waiting
from tests.support.postgres.server import Postgres, fresh_schema
from worker.messages.churned_event import churned_id
from worker.messages.record import PlainRecord
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.changes import Changes, RecordCoordinates
from worker.stores.errors import NoStoreError, StoreError
from worker.stores.port import Store
from worker.stores.postgres.dry_run import PostgresDryRun
from worker.stores.postgres.store import PostgresStore

GUS = "55555555-5555-4555-8555-555555555555"
FAY = "44444444-4444-4444-8444-444444444444"
DECIDED = [
    [
        signup(0),
        cancellation(0, EVE),
        cancellation(1, EVE, "2026-07-01"),
        cancellation(2, FAY),
        record(b"{", SIGNUPS, 1),
    ],
    [signup(2, BOB), cancellation(3, BOB)],
]
BATCHES = [
    [signup(0), cancellation(0, EVE)],
    [signup(3, EVE, mrr='"83.333333"')],
    [cancellation(4), cancellation(5, ADA, "2026-07-02"), cancellation(6, BOB)],
    [cancellation(7, FAY), signup(4, EVE, plan_tier='"free"')],
    [signup(5, FAY), cancellation(8, EVE)],
]


@pytest.fixture
def url(postgres_server: Callable[[], Postgres]) -> str:
    return fresh_schema(postgres_server())


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """Yield a store that has decided a few records; receipts of two events were found, one of an event yet to come."""
    store = PostgresStore(url, "postgresql://here")
    for records in DECIDED:
        decide(store, records)
    store.keep_receipts([churned_id(BOB), churned_id(FAY)], {(CHURNED, 0): 2})
    yield store
    store.close()


@pytest.fixture
def trial(url: str, store: PostgresStore) -> Iterator[PostgresDryRun]:
    trial = PostgresDryRun(url, "postgresql://here")
    yield trial
    trial.close()


def decide(store: Store, records: list[PlainRecord], *, is_silent: bool = False) -> list[str]:
    """Take a batch; the ids of what is to be published of it."""
    with UnitOfWork(store) as work:
        work._changes.is_silent = is_silent
        batch_path().apply(decoded(*records), work)
        return ids(work.commit().messages)


def told(store: Store) -> dict[str, Any]:
    """Return the results of the queries of a batch and of a report."""
    everybody = [ADA, BOB, EVE, FAY, GUS]
    return {
        "customers": details(store.customers(everybody)),
        "parked": list(store.parked(everybody)),
        "positions": dict(store.positions()),
        "lost ARR": store.lost_arr(),
        "unpublished": store.unpublished,
    }


def test_dry_run_has_the_results_of_the_store(store: PostgresStore, trial: PostgresDryRun) -> None:
    found = [churned_id(ADA), "no\0id", f"{SIGNUPS}/0/1@{NOON_MS}"]
    trial.keep_receipts(found, {(CHURNED, 0): 9})
    tried = [(decide(trial, records), told(trial)) for records in BATCHES]
    store.keep_receipts(found, {(CHURNED, 0): 9})
    done = [(decide(store, records), told(store)) for records in BATCHES]
    assert tried == done
    assert [len(published) for published, _ in done] == [0, 2, 1, 1, 0], "not what the test is about"


def test_silent_commit_of_a_dry_run_is_not_pending(store: PostgresStore, trial: PostgresDryRun) -> None:
    before = trial.unpublished
    tried = decide(trial, BATCHES[1], is_silent=True)
    assert (len(tried), trial.unpublished) == (2, before)
    assert decide(store, BATCHES[1], is_silent=True) == tried
    assert store.unpublished == before


def test_rolled_back_batch_leaves_the_dry_run_unchanged(trial: PostgresDryRun) -> None:
    decide(trial, [signup(3, EVE, mrr='"1.00"'), signup(4, GUS)])
    before = told(trial)
    with UnitOfWork(trial) as work:
        batch_path().apply(decoded(cancellation(9, GUS)), work)
        assert work._changes.changed_customers
    assert told(trial) == before


def test_dry_run_changes_no_row_and_no_sequence(url: str, trial: PostgresDryRun) -> None:
    before = everything_kept(url)
    trial.keep_receipts(["found"], {(CHURNED, 0): 9})
    for records in BATCHES:
        decide(trial, records)
    assert told(trial)["unpublished"] == 6
    trial.close()
    assert everything_kept(url) == before


def everything_kept(url: str) -> dict[str, Any]:
    """Every row of every table with its place and its transaction, dead ones' places included; and each sequence."""
    with psycopg.connect(url) as db:
        query = "SELECT relname FROM pg_class WHERE relkind = %s AND relnamespace = current_schema()::regnamespace"
        names = {kind: [name for (name,) in db.execute(query, [kind]).fetchall()] for kind in ("r", "S")}
        kept: dict[str, Any] = {
            table: db.execute(f"SELECT ctid, xmin, xmax, {table}.* FROM {table}".encode()).fetchall()
            for table in names["r"]
        }
        sizes = {table: db.execute("SELECT pg_relation_size(%s::regclass)", [table]).fetchall() for table in names["r"]}
        counters = {name: db.execute(f"SELECT last_value FROM {name}".encode()).fetchall() for name in names["S"]}
        return kept | {"sizes": sizes, "counters": counters}


def test_dry_run_and_workers_are_isolated(store: PostgresStore, trial: PostgresDryRun) -> None:
    for records in BATCHES:
        decide(trial, records)
    before = told(trial)
    store._db.execute("SET lock_timeout = '1ms'")
    for records in BATCHES:
        decide(store, records)
    store.commit(Changes(parked=parked(waiting(70, GUS), customer_id=GUS)))
    store.commit(Changes(released=[RecordCoordinates(CANCELLATIONS, 0, 70)], new_customers={GUS: customer(GUS)}))
    store.commit(Changes(outbox=[outgoing("another")]))
    store.claim([(SIGNUPS, 0)])
    store.mark_published(store.last_seq, {(CHURNED, 0): 99})
    assert told(trial) == before


def test_dry_run_cannot_change_the_database(trial: PostgresDryRun) -> None:
    with pytest.raises(StoreError, match="read-only"):
        trial.claim([(SIGNUPS, 0)])


def test_dry_run_on_an_empty_database_creates_no_tables(url: str) -> None:
    with pytest.raises(NoStoreError):
        PostgresDryRun(url, "postgresql://here")
    with psycopg.connect(url) as db:
        assert db.execute("SELECT to_regclass('customers')").fetchall() == [(None,)]
