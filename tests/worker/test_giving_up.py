"""An operator turns a parked cancellation into a dead letter, once per store."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.support.builders import ADA, BOB, CANCELLATIONS, apply, batch_path, cancellation, record, signup
from tests.worker.clock import NOON, Clock
from worker.messages.churned_event import churned_id
from worker.messages.redrive_headers import redriven
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore


def give_up(store: DuckDBStore, moment: datetime = NOON + timedelta(days=1)) -> int:
    waiting = store.parked_before(moment, 1000)
    with UnitOfWork(store) as work:
        result = batch_path().give_up(waiting, work)
        work.commit()
    return result.outcomes["rejected"]


def letters(store: DuckDBStore) -> list[str]:
    return [message.id for message in store.pending(0, 1000).messages if message.topic.endswith("-dlt")]


def outcomes(store: DuckDBStore) -> list[tuple[str, str | None]]:
    query = "SELECT outcome, reason FROM journal WHERE topic = ?"
    return store._db.execute(query, [CANCELLATIONS]).fetchall()


def churn_date(store: DuckDBStore) -> date | None:
    (customer,) = store.customers([ADA])
    return customer.churn_date


def test_record_parked_long_enough_becomes_a_dead_letter(store: DuckDBStore, clock: Clock) -> None:
    apply(store, [cancellation(0), cancellation(1, BOB)])
    clock.now = NOON + timedelta(days=2)
    apply(store, [cancellation(2, ADA, "2026-07-02")])
    assert give_up(store) == 2
    assert letters(store) == [f"{CANCELLATIONS}/0/{offset}@1782820800000" for offset in (0, 1)]
    assert [each.record.offset for each in store.parked([ADA, BOB])] == [2]
    assert outcomes(store) == [("parked", None)] * 3 + [("rejected", "no_signup")] * 2
    assert give_up(store) == 0


def test_dead_letter_has_the_record_as_received(store: DuckDBStore) -> None:
    received = record(cancellation(0).value, CANCELLATIONS, 7, partition=3, key=b"k", headers=[("x", b"\xff")])
    apply(store, [received])
    give_up(store)
    (letter,) = store.pending(0, 10).messages
    assert (letter.partition, letter.key, letter.value, letter.headers[0]) == (3, b"k", received.value, ("x", b"\xff"))
    assert letter.customer_id == ADA
    assert dict(letter.headers)["__dlq.errors.reason"] == b"no_signup"


def test_redrive_churns_the_customer_of_a_later_signup(store: DuckDBStore) -> None:
    apply(store, [cancellation(0)])
    give_up(store)
    apply(store, [signup(0)])
    assert churn_date(store) is None
    (letter,) = store.pending(0, 10).messages
    sent = redriven(letter, CANCELLATIONS)
    apply(store, [record(sent.value, CANCELLATIONS, 1, key=sent.key, headers=sent.headers)])
    assert churn_date(store) == date(2026, 6, 30)
    assert store.pending(1, 10).messages[0].id == churned_id(ADA)


@pytest.mark.parametrize("signed_up", [False, True], ids=["nobody", "a customer since"])
@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
def test_reread_record_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, signed_up: bool, restarted: bool
) -> None:
    path = str(tmp_path_factory.mktemp("store") / "customers.duckdb")
    store = DuckDBStore(path)
    apply(store, [cancellation(0)])
    give_up(store, datetime.now(UTC))
    if signed_up:
        apply(store, [signup(0)])
    before = outcomes(store)
    if restarted:
        store.close()
        store = DuckDBStore(path)
    result = apply(store, [cancellation(0)])
    assert (result.replayed, result.outcomes) == (1, {})
    assert list(store.parked([ADA])) == []
    assert [customer.churn_date for customer in store.customers([ADA])] == [None] * signed_up
    assert outcomes(store) == before
    assert give_up(store, datetime.now(UTC)) == 0
    assert len(letters(store)) == 1
    store.close()


def test_rebuilt_store_publishes_no_second_dead_letter(store: DuckDBStore) -> None:
    apply(store, [cancellation(0)])
    give_up(store)
    rebuilt = DuckDBStore(MEMORY)
    rebuilt.keep_receipts(letters(store), {})
    apply(rebuilt, [cancellation(0)])
    assert give_up(rebuilt, datetime.now(UTC)) == 1
    assert letters(rebuilt) == []
    rebuilt.close()
