"""The effect of each message on its customer."""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import msgspec
import pytest

from domain.customer import MRR, CustomerError, Industry, PlanTier
from tests.support import builders
from tests.support.builders import ADA, BOB, cancellation, customer, signup
from worker.messages.message import Cancellation, Origin, Signup
from worker.messages.rejection import Reason, Rejected
from worker.processing.handlers import REJECTIONS, handle_cancellation, handle_signup
from worker.processing.outcomes import APPLIED, DUPLICATE, PARKED, Applied
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.duckdb.store import DuckDBStore

SOME: Origin = (signup(), 0, 0, False)
SIGNUP = Signup(*SOME, ADA, Industry.FINTECH, PlanTier.GROWTH, date(2026, 1, 15), MRR(Decimal("499.00")))


@pytest.fixture
def work(store: DuckDBStore) -> Iterator[UnitOfWork]:
    with UnitOfWork(store) as work:
        yield work


def cancelled(day: date, offset: int = 0, who: str = ADA, reason: str = "too_expensive") -> Cancellation:
    return builders.cancelled(cancellation(offset, who, str(day), reason=json.dumps(reason)))


def test_a_first_signup_makes_a_customer(work: UnitOfWork) -> None:
    assert handle_signup(SIGNUP, work) == APPLIED
    assert work.customers.get_by_id(ADA) == customer(ADA)


def test_same_signup_of_a_churned_customer_is_a_duplicate(work: UnitOfWork) -> None:
    handle_signup(SIGNUP, work)
    assert handle_signup(SIGNUP, work) == DUPLICATE
    handle_cancellation(cancelled(date(2026, 6, 30)), work)
    assert handle_signup(SIGNUP, work) == DUPLICATE


def test_an_unknown_industry_twice_is_the_same_industry(work: UnitOfWork) -> None:
    known = Signup(*SOME, ADA, Industry.OTHER, PlanTier.GROWTH, date(2026, 1, 15), MRR(Decimal(1)))
    unknown = msgspec.structs.replace(known, is_industry_known=False)
    handle_signup(unknown, work)
    assert handle_signup(known, work) == DUPLICATE


@pytest.mark.parametrize("other", [
    Signup(*SOME, ADA, Industry.OTHER, PlanTier.GROWTH, date(2026, 1, 15), MRR(Decimal(499))),
    Signup(*SOME, ADA, Industry.FINTECH, PlanTier.FREE, date(2026, 1, 15), MRR(Decimal(499))),
    Signup(*SOME, ADA, Industry.FINTECH, PlanTier.GROWTH, date(2026, 1, 16), MRR(Decimal(499))),
    Signup(*SOME, ADA, Industry.FINTECH, PlanTier.GROWTH, date(2026, 1, 15), MRR(Decimal("499.000001"))),
], ids=["industry", "tier", "date", "revenue"])  # fmt: skip
def test_different_signup_is_a_conflict_and_changes_nothing(work: UnitOfWork, other: Signup) -> None:
    handle_signup(SIGNUP, work)
    outcome = handle_signup(other, work)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.customer_id) == (Reason.SIGNUP_CONFLICT, ADA)
    found = work.customers.get_by_id(ADA)
    assert found is not None
    assert found.has_terms(SIGNUP.industry, SIGNUP.plan_tier, SIGNUP.signup_date, SIGNUP.mrr)


def test_a_cancellation_of_an_active_customer_is_a_churn(work: UnitOfWork) -> None:
    handle_signup(SIGNUP, work)
    outcome = handle_cancellation(cancelled(date(2026, 6, 30), reason="moved"), work)
    assert isinstance(outcome, Applied)
    assert outcome.event is not None
    assert (outcome.event.churn_date, outcome.event.reason) == (date(2026, 6, 30), "moved")
    found = work.customers.get_by_id(ADA)
    assert found is not None
    assert found.churn_date == date(2026, 6, 30)


def test_a_cancellation_on_the_day_of_signup_is_a_churn(work: UnitOfWork) -> None:
    handle_signup(SIGNUP, work)
    assert isinstance(handle_cancellation(cancelled(date(2026, 1, 15)), work), Applied)


def test_same_churn_date_is_a_duplicate_with_any_reason(work: UnitOfWork) -> None:
    handle_signup(SIGNUP, work)
    handle_cancellation(cancelled(date(2026, 6, 30)), work)
    assert handle_cancellation(cancelled(date(2026, 6, 30), 1, reason="another"), work) == DUPLICATE


@pytest.mark.parametrize("day", [date(2026, 6, 29), date(2026, 7, 1), date(2020, 1, 1)], ids=str)
def test_another_date_once_churned_is_rejected(work: UnitOfWork, day: date) -> None:
    handle_signup(SIGNUP, work)
    handle_cancellation(cancelled(date(2026, 6, 30)), work)
    outcome = handle_cancellation(cancelled(day, 1), work)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.customer_id) == (Reason.ALREADY_CHURNED, ADA)
    assert str(day) not in outcome.message


def test_churn_before_signup_is_rejected(work: UnitOfWork) -> None:
    handle_signup(SIGNUP, work)
    outcome = handle_cancellation(cancelled(date(2026, 1, 14)), work)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.customer_id) == (Reason.CHURN_BEFORE_SIGNUP, ADA)
    assert "2026" not in outcome.message
    found = work.customers.get_by_id(ADA)
    assert found is not None
    assert found.is_active


def test_cancellation_of_an_unknown_customer_is_parked(work: UnitOfWork) -> None:
    assert handle_cancellation(cancelled(date(2026, 6, 30)), work) == PARKED
    assert handle_cancellation(cancelled(date(2026, 6, 30), 1), work) == PARKED
    assert [record.offset for record in work.parked.release(ADA)] == [0, 1]


def test_same_cancellation_record_is_parked_once(work: UnitOfWork) -> None:
    assert handle_cancellation(cancelled(date(2026, 6, 30)), work) == PARKED
    assert handle_cancellation(cancelled(date(2026, 6, 30)), work) == DUPLICATE


def test_customers_are_independent(work: UnitOfWork) -> None:
    handle_signup(SIGNUP, work)
    assert handle_cancellation(cancelled(date(2026, 6, 30), who=BOB), work) == PARKED


def test_every_error_of_the_domain_has_a_rejection_of_its_own() -> None:
    assert set(REJECTIONS) == set(CustomerError.__subclasses__())
    assert len({reason for reason, _ in REJECTIONS.values()}) == len(REJECTIONS)
    assert {reason.value: message for reason, message in REJECTIONS.values()} == {
        "signup_conflict": "the customer signed up before with other terms",
        "already_churned": "the customer churned before, on another date",
        "churn_before_signup": "cancellation_date lies before the customer's signup_date",
    }
