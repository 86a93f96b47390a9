"""Races of two workers on one PostgreSQL: each is run on real connections, to both outcomes."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from socket import gethostname
from threading import Barrier

import psycopg
import pytest

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    EVE,
    SIGNUPS,
    apply,
    batch_path,
    cancellation,
    customer,
    decoded,
    record,
    signup,
)
from tests.support.changes import ids, outgoing, parked, waiting
from tests.support.postgres.server import Postgres, fresh_schema
from worker.cli.parked_dead_letter import _abandon
from worker.errors import Stop
from worker.outbox.relay import Relay
from worker.processing.unit_of_work import UnitOfWork
from worker.settings import Settings
from worker.stores.changes import Changes, Committed, JournalRow, RecordCoordinates
from worker.stores.errors import NotTheOwnerError, StoreConflictError, StoreError, StoreInUseError
from worker.stores.postgres.locks import only_redrive
from worker.stores.postgres.store import PostgresStore
from worker.stores.thread import StoreThread

CHURN = date(2026, 6, 30)
WAITS_FOR_A_LOCK = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = %s"


@pytest.fixture(params=["advisory", "rows"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(postgres_server: Callable[[], Postgres]) -> str:
    return fresh_schema(postgres_server())


@pytest.fixture
def stores(url: str, kind: str) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Two workers' stores on one database."""
    one, other = (PostgresStore(url, "postgresql://here", kind) for _ in range(2))
    other._db.execute(f"SET application_name = '{other._db.info.backend_pid}'".encode())
    yield one, other
    one.close()
    other.close()


def wait_until_it_waits(store: PostgresStore, watching: psycopg.Connection, doing: Future[object]) -> None:
    """Until the other store waits for a lock; fails where it ends without."""
    while watching.execute(WAITS_FOR_A_LOCK, [str(store._db.info.backend_pid)]).fetchall() == [(0,)]:
        assert not doing.done(), f"it did not wait: {doing.exception() or doing.result()}"


def wait_for(condition: Callable[[], bool]) -> None:
    """Until the server has noticed that a connection was closed, which over a network takes it a moment."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline


class Held:
    """A commit of one store that stops before its COMMIT, until it is let go on."""

    def __init__(self, store: PostgresStore, changes: Changes) -> None:
        self._transaction = store._db.transaction()
        self._transaction.__enter__()
        store.commit(changes)  # a part of the transaction around it

    def go_on(self) -> None:
        self._transaction.__exit__(None, None, None)


def race(stores: tuple[PostgresStore, PostgresStore], url: str, first: Changes, second: Changes) -> Future[object]:
    """Commit `first` while `second` waits for it: what came of the second."""
    one, other = stores
    held = Held(one, first)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url, autocommit=True) as watching:
        doing: Future[object] = pool.submit(other.commit, second)
        wait_until_it_waits(other, watching, doing)
        held.go_on()
        doing.exception(timeout=30)
    return doing


def signs_up(who: str = EVE) -> Changes:
    return Changes(new_customers={who: customer(who)})


def test_signup_during_parking_is_decided_again(stores: tuple[PostgresStore, PostgresStore], url: str) -> None:
    doing = race(stores, url, Changes(parked=parked(waiting(0))), signs_up())
    assert isinstance(doing.exception(), StoreConflictError)


def test_parking_during_a_signup_is_decided_again(stores: tuple[PostgresStore, PostgresStore], url: str) -> None:
    doing = race(stores, url, signs_up(), Changes(parked=parked(waiting(0))))
    assert isinstance(doing.exception(), StoreConflictError)


def test_concurrent_signups_of_a_customer_conflict(stores: tuple[PostgresStore, PostgresStore], url: str) -> None:
    doing = race(stores, url, signs_up(), signs_up())
    assert isinstance(doing.exception(), StoreConflictError)


def test_concurrent_churns_of_a_customer_conflict(stores: tuple[PostgresStore, PostgresStore], url: str) -> None:
    stores[0].commit(Changes(new_customers={ADA: customer(ADA)}))
    churns = Changes(changed_customers={ADA: customer(ADA, CHURN)}, outbox=[outgoing("churned")])
    doing = race(stores, url, churns, churns)
    assert isinstance(doing.exception(), StoreConflictError)
    assert ids(stores[0].pending(0, 10).messages) == ["churned"]


def test_a_parked_record_is_released_once(stores: tuple[PostgresStore, PostgresStore], url: str) -> None:
    stores[0].commit(Changes(parked=parked(waiting(0))))
    released = Changes(released=[RecordCoordinates(CANCELLATIONS, 0, 0)])
    doing = race(stores, url, released, Changes(abandoned=[RecordCoordinates(CANCELLATIONS, 0, 0)]))
    assert isinstance(doing.exception(), StoreConflictError)


def test_customers_changed_in_two_orders_do_not_deadlock(stores: tuple[PostgresStore, PostgresStore], url: str) -> None:
    stores[0].commit(Changes(new_customers={each: customer(each) for each in (ADA, BOB, EVE)}))
    there = {each: customer(each, CHURN) for each in (ADA, BOB, EVE)}
    back = dict(reversed(there.items()))
    with ThreadPoolExecutor(2) as pool:
        doing = [
            pool.submit(store.commit, Changes(changed_customers=order))
            for store, order in zip(stores, (there, back), strict=True)
        ]
        failures = [each.exception(timeout=30) for each in doing]
    assert sum(failure is None for failure in failures) == 1
    assert all("churned" not in str(failure) and "deadlock" not in str(failure) for failure in failures)


def test_cancellation_concurrent_with_its_signup_is_published(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    signups, cancellations = stores
    with UnitOfWork(cancellations) as work:
        batch_path().apply(decoded(cancellation(0)), work)  # parked, as far as it knows
        apply(signups, [signup(0)])
        with pytest.raises(StoreConflictError):
            work.commit()
    apply(cancellations, [cancellation(0)])
    assert len(signups.pending(0, 10).messages) == 1
    assert list(signups.parked([ADA])) == []


def test_batch_of_a_lost_partition_changes_nothing(stores: tuple[PostgresStore, PostgresStore]) -> None:
    before, now = stores
    before.claim([(SIGNUPS, 0)])
    apply(before, [signup(0)])
    now.claim([(SIGNUPS, 0)])
    with pytest.raises(NotTheOwnerError, match="another worker"):
        apply(before, [signup(1, BOB)])
    assert list(now.customers([BOB])) == []
    apply(now, [signup(1, BOB)])
    assert now.positions() == {(SIGNUPS, 0): 2}


def test_skipped_record_read_concurrently_is_decided_once(
    stores: tuple[PostgresStore, PostgresStore], url: str
) -> None:
    apply(stores[0], [signup(5)])  # and what stands before it was skipped
    letter = outgoing("letter", "customer.signup-dlt")
    late = Changes(
        journal=[JournalRow(SIGNUPS, 0, 1, None, "rejected", "malformed")],
        outbox=[letter],
        undecided=[RecordCoordinates(SIGNUPS, 0, 1)],
    )
    second = race(stores, url, late, late)
    with pytest.raises(StoreConflictError, match="decided a record"):
        second.result()
    assert apply(stores[1], [record(b"{", SIGNUPS, 1)]).outcomes == {}
    assert ids(stores[0].pending(0, 10).messages) == ["letter"]


def test_moved_position_fails_the_batch(stores: tuple[PostgresStore, PostgresStore]) -> None:
    one, other = stores
    one.commit(Changes(positions={(SIGNUPS, 0): 1}))
    one.positions()
    other.commit(Changes(positions={(SIGNUPS, 0): 5}))
    with pytest.raises(StoreConflictError):
        one.commit(Changes(positions={(SIGNUPS, 0): 2}))
    one.rollback()
    assert one.positions() == {(SIGNUPS, 0): 5}


def test_row_committed_late_is_published(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    one, other = stores
    held = Held(one, Changes(outbox=[outgoing("early")]))
    other.commit(Changes(outbox=[outgoing("late")]))
    assert ids(other.pending(0, 10).messages) == ["late"]
    other.mark_published(1, {})
    held.go_on()
    assert ids(other.pending(1, 10).messages) == ["early"]


@pytest.mark.parametrize("attempt", range(5))
def test_concurrent_first_starts_create_the_tables_once(url: str, attempt: int) -> None:
    ready = Barrier(4)

    def start() -> PostgresStore:
        ready.wait()
        return PostgresStore(url, "postgresql://here")

    with ThreadPoolExecutor(4) as pool:
        started = [each.result(timeout=30) for each in [pool.submit(start) for _ in range(4)]]
    assert all(store.positions() == {} for store in started)
    for store in started:
        store.close()


def test_one_relay_leads_and_the_next_takes_over(stores: tuple[PostgresStore, PostgresStore]) -> None:
    one, other = stores
    assert one.lead()
    assert not other.lead()
    assert one.lead()
    one.commit(Changes(outbox=[outgoing("a")]))
    assert one.last_seq == 1
    one._locks.close()  # as its end would, without its knowing
    wait_for(other.lead)
    with pytest.raises(StoreError, match="another worker is the leader"):
        one.mark_published(1, {})
    other.mark_published(1, {})
    assert not one.lead()


def test_one_redrive_per_store(
    url: str, kind: str, postgres_server: Callable[[], Postgres], stores: tuple[PostgresStore, PostgresStore]
) -> None:
    another = fresh_schema(postgres_server())
    PostgresStore(another, "postgresql://there").close()
    with only_redrive(kind, url, "postgresql://here") as require_held:
        require_held()
        with pytest.raises(StoreInUseError), only_redrive(kind, url, "postgresql://here"):
            pass
        with only_redrive(kind, another, "postgresql://there") as of_another:
            of_another()
        stores[0].commit(Changes(parked=parked(waiting(0))))  # workers do not wait for it
        stores[1].commit(Changes(released=[RecordCoordinates(CANCELLATIONS, 0, 0)], new_customers={EVE: customer(EVE)}))
    with only_redrive(kind, url, "postgresql://here") as require_held:
        require_held()


@pytest.mark.usefixtures("stores")
def test_redrive_without_its_connection_loses_the_lock(url: str, kind: str) -> None:
    query = """
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'customer-worker'
        AND query ~ 'redrive' AND pid <> pg_backend_pid()
    """
    with only_redrive(kind, url, "postgresql://here") as require_held, psycopg.connect(url, autocommit=True) as admin:
        assert admin.execute(query).fetchall() == [(True,)]
        with pytest.raises(StoreError, match="ended the connection"):
            require_held()


def test_view_names_the_leader(stores: tuple[PostgresStore, PostgresStore], kind: str) -> None:
    one, other = stores

    def leader() -> str | None:
        with other.view() as view:
            return view.leader()

    assert leader() is None
    assert one.lead()
    assert not other.lead()
    told = f"{gethostname()}/{os.getpid()}, at " if kind == "advisory" else "a worker, by its lease until "
    assert (leader() or "").startswith(told)
    one._locks.close()
    wait_for(lambda: leader() is None)


def test_standby_is_never_behind(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    one, other = stores
    assert one.lead()
    relay = Relay(Settings(), other, StoreThread(), Stop())
    relay.look_again()  # as after a commit whose answer did not come
    relay.offer(other.commit(Changes(outbox=[outgoing("a")])))
    assert (relay.is_standby, relay.behind_seconds) == (True, 0.0)


def test_leader_without_its_session_is_deposed(
    stores: tuple[PostgresStore, PostgresStore], url: str, kind: str
) -> None:
    one, _ = stores
    assert one.lead()
    session = one._locks._session  # type: ignore[attr-defined]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [session.info.backend_pid])
    with pytest.raises(StoreError, match="ended the connection"):
        one.lead()


def test_rows_are_numbered_in_the_order_of_their_batches(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    one, other = stores
    held = Held(one, Changes(outbox=[outgoing("a1"), outgoing("a2")]))
    other.commit(Changes(outbox=[outgoing("b1")]))
    assert other.last_seq == 1
    other.commit(Changes(outbox=[outgoing("c1")]))
    held.go_on()
    assert other.last_seq == 4
    assert ids(other.pending(0, 10).messages) == ["b1", "a1", "a2", "c1"]
    assert ids(one.pending(2, 1).messages) == ["a2"]


def test_rows_of_a_customer_keep_their_order(stores: tuple[PostgresStore, PostgresStore], url: str) -> None:
    one, other = stores
    one.commit(Changes(new_customers={ADA: customer(ADA)}))
    held = Held(one, Changes(changed_customers={ADA: customer(ADA)}, outbox=[outgoing("first")]))
    second = Changes(changed_customers={ADA: customer(ADA)}, outbox=[outgoing("second")])
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url, autocommit=True) as watching:
        doing: Future[object] = pool.submit(other.commit, second)
        wait_until_it_waits(other, watching, doing)
        held.go_on()
        doing.result(timeout=30)
    assert ids(one.pending(0, 10).messages) == ["first", "second"]


def test_batch_statements_are_not_jit_compiled(stores: tuple[PostgresStore, PostgresStore]) -> None:
    assert stores[0]._db.execute("SHOW jit").fetchall() == [("off",)]


def test_record_released_by_a_signup_is_not_dead_lettered(
    url: str, stores: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(stores[0], [cancellation(0), cancellation(1, BOB)])
    commit = PostgresStore.commit
    faster = iter([[signup(0)]])

    def commit_after_a_worker(store: PostgresStore, changes: Changes) -> Committed:
        for records in faster:
            apply(stores[1], records)
        return commit(store, changes)

    monkeypatch.setattr(PostgresStore, "commit", commit_after_a_worker)
    settings = Settings(store={"url": url})  # type: ignore[arg-type]
    given_up = _abandon(settings, datetime.now(UTC) + timedelta(days=1))
    assert [each.coordinates for each in given_up] == [f"{CANCELLATIONS}/0/1"]
    assert list(stores[0].parked([ADA, BOB])) == []
    assert len(stores[0].pending(0, 10).messages) == 2
