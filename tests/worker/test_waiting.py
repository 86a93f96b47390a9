"""Waiting records in a store, for metrics and the operations page."""

from datetime import timedelta
from decimal import Decimal

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    EVE,
    SIGNUPS,
    apply,
    cancellation,
    composer,
    record,
    signup,
)
from tests.worker.clock import NOON, Clock
from worker.messages.inbound import Decoder
from worker.messages.redrive_headers import redriven
from worker.processing.batch import BatchProcessor
from worker.processing.unit_of_work import UnitOfWork
from worker.queries.dead_letters import described
from worker.settings import Settings
from worker.stores import arr_at_stake
from worker.stores.dead_letters import WAITING, Filters, total
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.reading import AtStake, Waiting

PLATINUM = '"platinum"'


def waiting(store: DuckDBStore) -> Waiting:
    with store.view() as view:
        return view.waiting()


def at_stake(store: DuckDBStore) -> AtStake:
    """Return it without the time, after a comparison with the letters of `dead-letters list`."""
    with store.view() as view:
        letters = [letter for letter in described(view, Settings(), Filters()) if letter.state in WAITING]
        found = arr_at_stake.at_stake(view, Settings())
    since = min((letter.refused_at for letter in letters), default=None)
    assert found == AtStake(len(letters), total(letters), since)
    return found._replace(since=None)


def test_empty_store_has_nothing_waiting(store: DuckDBStore) -> None:
    assert waiting(store) == Waiting(0, None, 0, None)
    assert at_stake(store) == AtStake(0, Decimal(0))


def test_parked_age_is_that_of_the_oldest_record(store: DuckDBStore, clock: Clock) -> None:
    apply(store, [cancellation(0)])
    clock.now += timedelta(hours=1)
    apply(store, [cancellation(1, BOB)])
    assert waiting(store)[:2] == (2, NOON)
    apply(store, [signup(0)])
    assert waiting(store)[:2] == (1, NOON + timedelta(hours=1))


def test_unpublished_age_is_that_of_the_oldest_decision(store: DuckDBStore, clock: Clock) -> None:
    apply(store, [signup(0), signup(1, BOB), cancellation(0)])
    clock.now += timedelta(hours=1)
    apply(store, [record(None, CANCELLATIONS, 1), cancellation(2, BOB)])
    assert waiting(store)[2:] == (3, NOON)
    store.mark_published(1, {})
    store.write_mark()
    assert waiting(store)[2:] == (2, NOON + timedelta(hours=1))  # a dead letter is the oldest now
    store.mark_published(3, {})
    store.write_mark()
    assert waiting(store)[2:] == (0, None)


def test_message_with_a_receipt_is_not_waiting(store: DuckDBStore, clock: Clock) -> None:
    apply(store, [signup(0), cancellation(0)])
    clock.now += timedelta(hours=1)
    apply(store, [signup(1, BOB), cancellation(1, BOB)])
    store.keep_receipts([store.pending(0, 1).messages[0].id], {})
    assert waiting(store)[2:] == (1, NOON + timedelta(hours=1))


def test_arr_at_stake_counts_each_customer_once(store: DuckDBStore) -> None:
    conflict = '{"amount": "1.00", "currency": "USD"}'
    apply(store, [signup(0), signup(1, ADA, mrr=conflict), signup(2, ADA, mrr=conflict)])
    assert at_stake(store) == AtStake(2, Decimal("5976.00"))  # what the conflict is about
    apply(store, [cancellation(0, ADA, "not a day")])
    assert at_stake(store) == AtStake(3, Decimal("5988.00"))
    apply(store, [signup(3, BOB), cancellation(1, BOB), cancellation(2, BOB, "2026-07-01")])  # left already
    assert at_stake(store) == AtStake(4, Decimal("5988.00"))
    apply(store, [signup(4, EVE, plan_tier=PLATINUM), record(None, offset=5)])  # a new customer, and nobody known
    assert at_stake(store) == AtStake(6, Decimal("11976.00"))


def test_settled_dead_letter_is_not_at_stake(store: DuckDBStore) -> None:
    apply(store, [signup(0), signup(1, BOB), signup(2, EVE)])
    refused = [cancellation(n, who, "not a day") for n, who in enumerate((ADA, BOB, EVE))]
    apply(store, refused)
    assert at_stake(store) == AtStake(3, Decimal("17964.00"))
    letters = store.pending(0, 10).messages
    again = [redriven(letter, CANCELLATIONS) for letter in letters]
    sent = [record(each.value, CANCELLATIONS, 10 + n, headers=each.headers) for n, each in enumerate(again)]
    apply(store, sent[:1])  # refused again: that one has a letter of its own
    assert at_stake(store) == AtStake(3, Decimal("17964.00"))
    store.discard([letters[1].id], "a test")
    assert at_stake(store) == AtStake(2, Decimal("11976.00"))


def test_applied_redrive_settles_the_dead_letter(store: DuckDBStore) -> None:
    with UnitOfWork(store) as work:  # a bad deploy, which takes no value of more than 10 bytes
        path = BatchProcessor(Decoder(SIGNUPS, 10), composer())
        path.apply(path.read([signup(0), signup(1, BOB)]), work)
        work.commit()
    assert at_stake(store).letters == 2
    again = redriven(store.pending(0, 1).messages[0], SIGNUPS)
    apply(store, [record(again.value, SIGNUPS, 2, headers=again.headers)])
    assert at_stake(store) == AtStake(1, Decimal("5988.00"))


def test_write_probe_changes_no_totals(store: DuckDBStore) -> None:
    apply(store, [signup(0), cancellation(0)])
    with store.view() as view:
        before = view.totals()
    store.prove_writable()
    with store.view() as view:
        assert view.totals() == before
