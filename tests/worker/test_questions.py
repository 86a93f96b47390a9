"""Queries of the store and their answers, as a command receives them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import pytest

from tests.support.builders import ADA, BOB, CANCELLATIONS, CHURNED, EVE, SIGNUPS, apply, cancellation, signup
from tests.worker.clock import Clock
from worker.messages.churned_event import churned_id
from worker.queries.catalogue import HISTORY, PARKED, QUERIES, STATUS
from worker.queries.explain import CustomerHistory, ExplainedDecision, ExplainQuery
from worker.queries.parked import ParkedQuery
from worker.queries.query import NoParameters, Query
from worker.settings import Settings
from worker.stores.port import Store

A = TypeVar("A")
LETTERS = f"{CANCELLATIONS}-dlt"


def answer(store: Store, question: Query[Any, A], parameters: msgspec.Struct) -> A:
    """Return the answer, encoded as JSON and decoded again."""
    with store.view() as view:
        encoded = msgspec.json.encode(question.run(view, Settings(), parameters))
    return msgspec.json.decode(encoded, type=question.result)


def told(step: ExplainedDecision) -> tuple[str, str, str | None, str]:
    return f"{step.topic}/{step.partition}/{step.offset}", step.outcome, step.reason, step.why


def test_query_names_are_unique_and_worker_is_reserved() -> None:
    assert {question.name: question for question in QUERIES.values()} == QUERIES
    assert "worker" not in QUERIES


def test_history_has_every_decision_with_its_cause(store: Store, clock: Clock) -> None:
    apply(store, [cancellation(0)])
    clock.now += timedelta(seconds=1)
    apply(store, [signup(0), signup(1, mrr='{"amount": "5.00", "currency": "USD"}'), signup(2)])
    clock.now += timedelta(seconds=1)
    apply(store, [cancellation(1), cancellation(2, ADA, "2026-07-15"), signup(3, ADA, plan_tier='"gold"')])
    story = answer(store, HISTORY, ExplainQuery(ADA))
    assert [told(step) for step in story.steps] == [
        (f"{CANCELLATIONS}/0/0", "parked", None, "no signup of the customer was received before"),
        (f"{SIGNUPS}/0/0", "applied", None, "new customer"),
        (f"{CANCELLATIONS}/0/0", "applied", None, "the customer churned"),
        (
            f"{SIGNUPS}/0/1",
            "rejected",
            "signup_conflict",
            "the customer signed up before with other terms",
        ),
        (f"{SIGNUPS}/0/2", "duplicate", None, "the customer signed up before, with the same terms"),
        (f"{CANCELLATIONS}/0/1", "duplicate", None, "the customer had already churned on that date"),
        (
            f"{CANCELLATIONS}/0/2",
            "rejected",
            "already_churned",
            "the customer churned before, on another date",
        ),
        (
            f"{SIGNUPS}/0/3",
            "rejected",
            "unknown_plan_tier",
            "plan_tier is not one of free, starter, growth, enterprise, custom",
        ),
    ]
    assert [step.event_id for step in story.steps if step.event_id] == [churned_id(ADA)]
    assert [step.letter_state for step in story.steps if step.outcome == "rejected"] == ["open"] * 3
    assert [step.at for step in story.steps] == sorted(step.at for step in story.steps)
    assert story.waiting == []


def test_history_has_the_current_customer(store: Store) -> None:
    apply(store, [signup(0, ADA, mrr='"83.333333"'), cancellation(0)])
    customer = answer(store, HISTORY, ExplainQuery(ADA)).customer
    assert customer is not None
    assert (customer.plan_tier, customer.industry) == ("growth", "FinTech")
    assert (customer.signup_date, customer.churn_date, customer.tenure_days) == (
        date(2026, 1, 15),
        date(2026, 6, 30),
        166,
    )
    assert (customer.mrr, customer.arr) == (Decimal("83.333333"), Decimal("1000.00"))


def test_history_shows_whether_the_event_is_published(store: Store) -> None:
    apply(store, [signup(0), cancellation(0)])
    [left] = [step for step in answer(store, HISTORY, ExplainQuery(ADA)).steps if step.event_id]
    assert not left.is_published
    store.mark_published(1, {})
    store.write_mark()
    [left] = [step for step in answer(store, HISTORY, ExplainQuery(ADA)).steps if step.event_id]
    assert left.is_published


def test_history_without_a_signup_lists_parked_records(store: Store) -> None:
    apply(store, [cancellation(0), cancellation(1, ADA, "2026-07-15"), cancellation(2, EVE)])
    story = answer(store, HISTORY, ExplainQuery(ADA))
    assert story.customer is None
    assert [(each.coordinates, each.cancellation_date) for each in story.waiting] == [
        (f"{CANCELLATIONS}/0/0", date(2026, 6, 30)),
        (f"{CANCELLATIONS}/0/1", date(2026, 7, 15)),
    ]
    assert not story.is_empty


def test_history_of_an_unknown_customer_is_empty(store: Store) -> None:
    apply(store, [signup(0), cancellation(0), cancellation(1, EVE)])
    story = answer(store, HISTORY, ExplainQuery(BOB))
    assert story == CustomerHistory(BOB, None, [], [])
    assert story.is_empty


def test_parked_records_are_listed_by_customer(store: Store, clock: Clock) -> None:
    apply(store, [cancellation(0, EVE), cancellation(1, BOB)])
    clock.now += timedelta(seconds=1)
    apply(store, [cancellation(2, EVE, "2026-07-15"), signup(0), cancellation(3)])
    found = answer(store, PARKED, ParkedQuery(at_most=10))
    eve, bob = found.customers
    assert (eve.customer_id, bob.customer_id) == (EVE, BOB)
    assert [(each.coordinates, str(each.cancellation_date)) for each in eve.cancellations] == [
        (f"{CANCELLATIONS}/0/0", "2026-06-30"),
        (f"{CANCELLATIONS}/0/2", "2026-07-15"),
    ]
    assert eve.since == eve.cancellations[0].parked_at < eve.cancellations[1].parked_at
    assert (found.totals.records, found.totals.customers, found.totals.since) == (3, 2, eve.since)


def test_limited_list_of_parked_records_has_the_full_totals(store: Store) -> None:
    apply(store, [cancellation(0, EVE), cancellation(1, BOB)])
    found = answer(store, PARKED, ParkedQuery(at_most=1))
    assert [customer.customer_id for customer in found.customers] == [EVE]
    assert found.totals.customers == 2
    early = answer(store, PARKED, ParkedQuery(10, found.customers[0].since - timedelta(seconds=1)))
    assert (early.customers, early.totals.records) == ([], 0)


def test_status_has_the_totals_of_the_store(store: Store) -> None:
    apply(
        store, [signup(0), cancellation(0), cancellation(1), cancellation(2, ADA, "2026-07-15"), cancellation(3, EVE)]
    )
    status = answer(store, STATUS, NoParameters())
    assert status.next_offsets() == {(SIGNUPS, 0): 1, (CANCELLATIONS, 0): 4}
    assert status.totals.decisions == {"applied": 2, "duplicate": 1, "rejected": 1, "parked": 1}
    assert status.totals.outgoing == {CHURNED: 1, LETTERS: 1}
    assert (status.totals.customers, status.totals.churned, status.totals.parked.records) == (1, 1, 1)
    assert status.letters == {"open": 1}


def test_too_many_dead_letters_are_not_searched(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.queries.status.MOST_LETTERS", 1)
    refused = [signup(number, ADA, plan_tier='"gold"') for number in range(2)]
    apply(store, refused[:1])
    assert answer(store, STATUS, NoParameters()).letters == {"open": 1}
    apply(store, refused[1:])
    assert answer(store, STATUS, NoParameters()).letters is None
