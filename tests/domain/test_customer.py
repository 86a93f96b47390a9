"""A customer from signup to churn, which happens once."""

from copy import copy
from datetime import date, timedelta
from decimal import Decimal

import pytest

from domain.customer import (
    MRR,
    AlreadyChurned,
    ChurnBeforeSignup,
    Customer,
    CustomerError,
    CustomerRepository,
    Industry,
    PlanTier,
    SignupConflict,
)

ADA = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
BOB = "0b1f7a52-8f0e-4c39-8a3a-2f2f5d1f9c01"
SIGNUP = date(2026, 1, 15)
TERMS = (Industry.FINTECH, PlanTier.GROWTH, SIGNUP, MRR(Decimal("499.00")))


def customer(customer_id: str = ADA, *, signup_date: date = SIGNUP, churn_date: date | None = None) -> Customer:
    return Customer(customer_id, Industry.FINTECH, PlanTier.GROWTH, signup_date, MRR(Decimal("499.00")), churn_date)


def today() -> date:
    return date.today()  # noqa: DTZ011 - the same business day that the domain takes


def test_a_customer_is_active_until_they_churn() -> None:
    assert customer().is_active
    ada = customer()
    ada.mark_churned(date(2026, 6, 30))
    assert not ada.is_active
    assert ada.churn_date == date(2026, 6, 30)


def test_customers_are_equal_by_their_id() -> None:
    other = Customer(ADA, Industry.OTHER, PlanTier.FREE, date(2020, 1, 1), MRR(Decimal(0)), date(2021, 1, 1))
    assert customer() == other
    assert hash(customer()) == hash(other)
    assert len({customer(), other}) == 1


def test_customers_with_equal_fields_are_different() -> None:
    assert customer(ADA) != customer(BOB)
    assert len({customer(ADA), ADA}) == 2


def test_tenure_of_a_churned_customer_ends_at_the_churn() -> None:
    ada = customer(churn_date=date(2026, 6, 30))
    assert ada.tenure_days == 166
    assert ada.tenure_days_on(date(2030, 1, 1)) == 166


def test_tenure_of_an_active_customer_ends_at_the_given_day() -> None:
    assert customer().tenure_days_on(SIGNUP) == 0
    assert customer().tenure_days_on(date(2026, 6, 30)) == 166


def test_tenure_without_a_given_day_ends_today() -> None:
    before = today()
    tenure = customer(signup_date=before - timedelta(days=40)).tenure_days
    assert tenure in {40, 40 + (today() - before).days}


@pytest.mark.parametrize(
    ("days", "is_early"), [(0, True), (1, True), (89, True), (90, True), (91, False), (366, False)], ids=str
)
def test_early_stage_ends_after_day_ninety(days: int, is_early: bool) -> None:
    day = SIGNUP + timedelta(days=days)
    assert customer().is_early_stage_on(day) is is_early
    assert customer(churn_date=day).is_early_stage is is_early
    assert customer().mark_churned(day).is_early_stage is is_early


def test_early_stage_without_a_given_day_is_that_of_today() -> None:
    assert customer(signup_date=today() - timedelta(days=10)).is_early_stage
    assert not customer(signup_date=today() - timedelta(days=92)).is_early_stage


def test_early_churn_remains_an_early_churn() -> None:
    assert customer(churn_date=SIGNUP + timedelta(days=5)).is_early_stage_on(date(2030, 1, 1))


def test_annual_revenue_at_risk_is_readable() -> None:
    assert customer().annual_revenue_at_risk == "$5,988.00"


def test_churn_returns_the_full_event() -> None:
    event = customer().mark_churned(date(2026, 6, 30), "too_expensive")
    assert event.customer_id == ADA
    assert event.signup_date == SIGNUP
    assert event.churn_date == date(2026, 6, 30)
    assert event.tenure_days == 166
    assert event.is_early_stage is False
    assert event.industry is Industry.FINTECH
    assert event.plan_tier is PlanTier.GROWTH
    assert event.mrr == MRR(Decimal("499.00"))
    assert event.lost_arr == Decimal("5988.00")
    assert event.reason == "too_expensive"


def test_churning_without_a_reason_is_a_churn() -> None:
    assert customer().mark_churned(SIGNUP).reason is None


def test_a_customer_may_churn_on_the_day_they_signed_up() -> None:
    assert customer().mark_churned(SIGNUP).tenure_days == 0


def test_a_churn_before_signup_is_refused_and_changes_nothing() -> None:
    ada = customer()
    with pytest.raises(ChurnBeforeSignup, match=r"2026-01-14.*2026-01-15") as refused:
        ada.mark_churned(SIGNUP - timedelta(days=1))
    assert ada.is_active
    assert (refused.value.customer_id, refused.value.signup_date) == (ADA, SIGNUP)
    assert refused.value.churn_date == SIGNUP - timedelta(days=1)


@pytest.mark.parametrize("again", [date(2026, 6, 30), date(2026, 7, 1), date(2020, 1, 1)], ids=str)
def test_a_customer_who_churned_cannot_churn_again_on_any_date(again: date) -> None:
    ada = customer(churn_date=date(2026, 6, 30))
    with pytest.raises(AlreadyChurned, match="2026-06-30") as refused:
        ada.mark_churned(again)
    assert ada.churn_date == date(2026, 6, 30)
    assert (refused.value.customer_id, refused.value.churn_date) == (ADA, date(2026, 6, 30))


def test_signup_creates_an_active_customer_with_its_terms() -> None:
    ada = Customer.sign_up(ADA, *TERMS)
    assert (ada.customer_id, ada.industry, ada.plan_tier, ada.signup_date, ada.mrr) == (ADA, *TERMS)
    assert ada.is_active


def test_signing_up_without_an_id_is_refused() -> None:
    with pytest.raises(ValueError, match="customer_id"):
        Customer.sign_up("", *TERMS)


def test_the_terms_are_those_of_the_signup_also_after_the_churn() -> None:
    ada = Customer.sign_up(ADA, *TERMS)
    assert ada.has_terms(Industry.FINTECH, PlanTier.GROWTH, SIGNUP, MRR(Decimal("499.000000")))
    ada.mark_churned(date(2026, 6, 30))
    assert ada.has_terms(*TERMS)


@pytest.mark.parametrize("other", [
    (Industry.OTHER, PlanTier.GROWTH, SIGNUP, MRR(Decimal(499))),
    (Industry.FINTECH, PlanTier.FREE, SIGNUP, MRR(Decimal(499))),
    (Industry.FINTECH, PlanTier.GROWTH, date(2026, 1, 16), MRR(Decimal(499))),
    (Industry.FINTECH, PlanTier.GROWTH, SIGNUP, MRR(Decimal("499.000001"))),
], ids=["industry", "tier", "date", "revenue"])  # fmt: skip
def test_terms_differ_by_any_field(other: tuple[Industry, PlanTier, date, MRR]) -> None:
    assert not Customer.sign_up(ADA, *TERMS).has_terms(*other)


@pytest.mark.parametrize("name", ["customer_id", "industry", "plan_tier", "signup_date", "mrr", "churn_date"])
def test_no_attribute_can_be_assigned(name: str) -> None:
    ada = customer()
    before = repr(ada)
    with pytest.raises(AttributeError):
        setattr(ada, name, getattr(customer(BOB), name))
    with pytest.raises(AttributeError):
        ada.mrr = MRR(Decimal(1))  # type: ignore[misc] # which mypy refuses, too
    with pytest.raises(AttributeError):
        ada.nickname = "Ada"  # type: ignore[attr-defined]
    assert repr(ada) == before


def test_copy_is_independent() -> None:
    ada = customer()
    other = copy(ada)
    other.mark_churned(date(2026, 6, 30))
    assert ada.is_active
    assert not other.is_active


def test_a_signup_conflict_names_the_customer() -> None:
    assert SignupConflict(ADA).customer_id == ADA
    assert ADA in str(SignupConflict(ADA))


@pytest.mark.parametrize("kind", [AlreadyChurned, ChurnBeforeSignup, SignupConflict])
def test_refusals_are_customer_errors_and_value_errors(kind: type[Exception]) -> None:
    assert issubclass(kind, CustomerError)
    assert issubclass(kind, ValueError)


def test_repository_requires_all_four_methods() -> None:
    with pytest.raises(TypeError, match="abstract"):
        CustomerRepository()  # type: ignore[abstract]
    assert CustomerRepository.__abstractmethods__ == {"get_by_id", "get_all_active", "get_sample", "save"}
