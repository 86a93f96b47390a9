"""Views of every store are ordered snapshots and block no worker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.support.builders import ADA, BOB, CANCELLATIONS, CHURNED, EVE, SIGNUPS, customer
from tests.support.changes import (
    EVENT,
    a_bit_of_everything,
    event_of_bob,
    outgoing,
    parked,
    particulars,
    prepare,
    waiting,
)
from tests.support.databases import Database
from worker.messages.outgoing import Outgoing
from worker.stores.changes import Changes, JournalRow
from worker.stores.port import Store
from worker.stores.reading import ParkedTotals, StoreTotals, StoreView

LETTERS = f"{CANCELLATIONS}-dlt"


def _counted(view: StoreView) -> StoreTotals:
    return msgspec.structs.replace(view.totals(), size_bytes=None)  # which is the file's, and grows


@pytest.fixture
def filled(store: Store) -> Store:
    prepare(store)
    store.commit(a_bit_of_everything())
    return store


def test_view_is_a_snapshot(store: Store) -> None:
    prepare(store)
    with store.view() as before:
        told = _counted(before)
        store.commit(a_bit_of_everything())
        assert _counted(before) == told
        assert before.customer(ADA) is None
        assert before.positions() == {(SIGNUPS, 0): 1, (CANCELLATIONS, 0): 1}
        with store.view() as after:
            assert after.customer(ADA) is not None
            assert after.positions() == {(SIGNUPS, 0): 2, (CANCELLATIONS, 0): 3}


def test_customer_is_the_current_one(filled: Store) -> None:
    with filled.view() as view:
        bob = view.customer(BOB)
        assert bob is not None
        assert particulars(bob) == particulars(next(iter(filled.customers([BOB]))))
        assert bob.churn_date is not None
        assert view.customer(EVE) is None


def test_decisions_of_a_customer_are_in_order(filled: Store) -> None:
    began = datetime.now(UTC) - timedelta(minutes=5)
    filled.commit(Changes(journal=[JournalRow(SIGNUPS, 0, 0, BOB, "duplicate", None)]))
    with filled.view() as view:
        found = view.decisions(BOB)
        nothing = view.decisions("00000000-0000-4000-8000-000000000000")
    assert [(d.topic, d.partition, d.offset, d.outcome, d.reason, d.event_id) for d in found] == [
        (SIGNUPS, 0, 0, "applied", None, None),
        (CANCELLATIONS, 0, 2, "applied", None, EVENT),
        (SIGNUPS, 0, 0, "duplicate", None, None),
    ]
    assert all(began < decision.at < datetime.now(UTC) + timedelta(minutes=5) for decision in found)
    assert nothing == []


def test_event_is_published_once_marked_or_with_a_receipt(filled: Store) -> None:
    with filled.view() as view:
        assert view.published(["old", "new 1", "receipted", "unheard of"]) == {
            "old": False,
            "new 1": False,
            "receipted": True,
        }
    assert filled.last_seq == 4  # rows are numbered when they are looked for
    filled.mark_published(2, {})
    filled.write_mark()
    with filled.view() as view:
        assert view.published(["old", "new 1", EVENT]) == {"old": True, "new 1": True, EVENT: False}


def test_totals_count_the_rows(filled: Store) -> None:
    with filled.view() as view:
        totals = view.totals()
    assert (totals.customers, totals.churned) == (2, 1)
    assert totals.decisions == {"applied": 3, "parked": 1, "rejected": 1}
    assert (totals.parked.records, totals.parked.customers) == (1, 1)
    assert totals.outgoing == {CHURNED: 4}
    assert totals.pending == 3, "one of the four has its receipt"


def test_an_empty_store_has_empty_totals(store: Store) -> None:
    with store.view() as view:
        totals = view.totals()
        assert (totals.customers, totals.churned, totals.decisions, totals.outgoing) == (0, 0, {}, {})
        assert totals.parked == ParkedTotals(0, 0, None)
        assert (totals.pending, totals.pending_since) == (0, None)
        assert view.positions() == {}
        assert view.parked() == []


@pytest.mark.parametrize(
    ("message", "decision"),
    [
        (event_of_bob(), []),
        (
            outgoing(f"{CANCELLATIONS}/3/40@1782820800000", LETTERS),
            [JournalRow(CANCELLATIONS, 3, 40, BOB, "rejected", "already_churned")],
        ),
    ],
    ids=["an event", "a dead letter"],
)
def test_pending_age_is_that_of_the_decision(store: Store, message: Outgoing, decision: list[JournalRow]) -> None:
    other = JournalRow(SIGNUPS, 3, 40, ADA, "duplicate", None)
    store.commit(Changes(journal=decision, outbox=[message]))
    with store.view() as view:
        [decided] = view.decisions(BOB)
    store.commit(Changes(journal=[other], outbox=[outgoing("later")]))
    with store.view() as view:
        totals = view.totals()
    assert (totals.pending, totals.pending_since) == (2, decided.at)
    assert store.last_seq == 2  # rows are numbered when they are looked for
    store.mark_published(2, {})
    store.write_mark()
    with store.view() as view:
        assert view.totals().pending_since is None


def test_parked_records_are_whole_and_in_order(store: Store) -> None:
    store.commit(Changes(parked=parked(waiting(0), waiting(7)) | parked(waiting(8, ADA), customer_id=ADA)))
    with store.view() as view:
        found = view.parked()
        of_ada = view.parked(customer_id=ADA)
        totals = view.parked_totals()
    assert [(each.customer_id, each.record) for each in found] == [
        (EVE, waiting(0)),
        (EVE, waiting(7)),
        (ADA, waiting(8, ADA)),
    ]
    assert of_ada == found[2:]
    assert totals == ParkedTotals(3, 2, found[0].parked_at)


def test_parked_records_are_filtered_by_age(store: Store) -> None:
    store.commit(Changes(parked=parked(waiting(0))))
    store.commit(Changes(parked=parked(waiting(1, ADA), customer_id=ADA) | parked(waiting(2))))
    with store.view() as view:
        first, _, of_ada = sorted(view.parked(), key=lambda each: (each.customer_id != EVE, each.record.offset))
        assert [each.record.offset for each in view.parked(customers=1)] == [0, 2]
        assert view.parked(customers=0) == []
        assert [each.customer_id for each in view.parked(before=of_ada.parked_at)] == [EVE, EVE]
        assert view.parked_totals(of_ada.parked_at) == ParkedTotals(2, 1, first.parked_at)
        assert view.parked(before=first.parked_at) == []
        assert view.parked_totals(first.parked_at) == ParkedTotals(0, 0, None)


def test_moments_are_accepted_in_any_time_zone(store: Store) -> None:
    store.commit(Changes(parked=parked(waiting(0))))
    with store.view() as view:
        [only] = view.parked()
        elsewhere = (only.parked_at + timedelta(microseconds=1)).astimezone()
        assert view.parked(before=elsewhere) == [only]


def test_view_is_read_in_another_thread_during_commits(store: Store) -> None:
    def count() -> int:
        with store.view() as view:
            return view.totals().customers

    with ThreadPoolExecutor() as others:
        counts = []
        for number in range(50):
            counting = others.submit(count)
            ada = f"00000000-0000-4000-8000-{number:012d}"
            store.commit(Changes(new_customers={ada: customer(ada)}))
            counts.append((number, counting.result()))
    assert all(number <= found <= number + 1 for number, found in counts)


def test_store_is_reopened_despite_an_open_view(durable: Database) -> None:
    store = durable.open()
    prepare(store)
    view = store.view()

    def look_until_it_ends() -> None:
        with view, pytest.raises(Exception, match="store"):
            _look_forever(view.totals)

    with ThreadPoolExecutor() as others:
        looking = others.submit(look_until_it_ends)
        store.reopen()
        looking.result(timeout=30)
    store.commit(a_bit_of_everything())
    with store.view() as after:
        assert after.customer(ADA) is not None


def _look_forever(look: Callable[[], object]) -> None:
    while True:
        look()
