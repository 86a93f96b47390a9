"""What each message does to its customer, one at a time."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from domain.customer import MRR, CustomerError, Industry, PlanTier
from tests.worker.builders import ADA, BOB, cancellation, customer
from worker.messages.inbound import Cancellation, Signup
from worker.messages.rejection import Reason, Rejected
from worker.processing.handlers import REJECTIONS, handle_cancellation, handle_signup
from worker.processing.outcomes import APPLIED, DUPLICATE, PARKED, Applied
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore

SIGNUP = Signup(ADA, Industry.FINTECH, PlanTier.GROWTH, date(2026, 1, 15), MRR(Decimal("499.00")))


@pytest.fixture
def work() -> Iterator[UnitOfWork]:
    store = DuckDBStore(MEMORY)
    with UnitOfWork(store) as work:
        yield work
    store.close()


def cancelled(day: date, offset: int = 0, who: str = ADA, reason: str | None = None) -> Cancellation:
    return Cancellation(who, day, reason, cancellation(offset, who))


def test_a_first_signup_makes_a_customer(work: UnitOfWork) -> None:
    assert handle_signup(SIGNUP, work) == APPLIED
    assert work.customers.get_by_id(ADA) == customer(ADA)


def test_the_same_signup_again_is_a_duplicate_even_of_a_customer_who_left(work: UnitOfWork) -> None:
    handle_signup(SIGNUP, work)
    assert handle_signup(SIGNUP, work) == DUPLICATE
    handle_cancellation(cancelled(date(2026, 6, 30)), work)
    assert handle_signup(SIGNUP, work) == DUPLICATE


def test_an_unknown_industry_twice_is_the_same_industry(work: UnitOfWork) -> None:
    unknown = Signup(ADA, Industry.OTHER, PlanTier.GROWTH, date(2026, 1, 15), MRR(Decimal(1)), is_industry_known=False)
    known = Signup(ADA, Industry.OTHER, PlanTier.GROWTH, date(2026, 1, 15), MRR(Decimal(1)))
    handle_signup(unknown, work)
    assert handle_signup(known, work) == DUPLICATE


@pytest.mark.parametrize("other", [
    Signup(ADA, Industry.OTHER, PlanTier.GROWTH, date(2026, 1, 15), MRR(Decimal(499))),
    Signup(ADA, Industry.FINTECH, PlanTier.FREE, date(2026, 1, 15), MRR(Decimal(499))),
    Signup(ADA, Industry.FINTECH, PlanTier.GROWTH, date(2026, 1, 16), MRR(Decimal(499))),
    Signup(ADA, Industry.FINTECH, PlanTier.GROWTH, date(2026, 1, 15), MRR(Decimal("499.000001"))),
], ids=["industry", "tier", "date", "revenue"])  # fmt: skip
def test_a_signup_that_says_something_else_is_a_conflict_and_changes_nothing(work: UnitOfWork, other: Signup) -> None:
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


def test_the_same_date_again_is_a_duplicate_whatever_reason_it_gives(work: UnitOfWork) -> None:
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


def test_a_date_before_signup_is_rejected_and_the_customer_stays(work: UnitOfWork) -> None:
    handle_signup(SIGNUP, work)
    outcome = handle_cancellation(cancelled(date(2026, 1, 14)), work)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.customer_id) == (Reason.CHURN_BEFORE_SIGNUP, ADA)
    assert "2026" not in outcome.message
    found = work.customers.get_by_id(ADA)
    assert found is not None
    assert found.is_active


def test_a_cancellation_of_nobody_we_know_waits(work: UnitOfWork) -> None:
    assert handle_cancellation(cancelled(date(2026, 6, 30)), work) == PARKED
    assert handle_cancellation(cancelled(date(2026, 6, 30), 1), work) == PARKED
    assert [record.offset for record in work.parked.release(ADA)] == [0, 1]


def test_the_same_record_of_a_cancellation_waits_once(work: UnitOfWork) -> None:
    assert handle_cancellation(cancelled(date(2026, 6, 30)), work) == PARKED
    assert handle_cancellation(cancelled(date(2026, 6, 30)), work) == DUPLICATE


def test_one_customer_is_nothing_to_another(work: UnitOfWork) -> None:
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
