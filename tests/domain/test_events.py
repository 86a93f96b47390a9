"""Domain events are immutable values."""

from datetime import date
from decimal import Decimal

import pytest

from domain.customer import MRR, CustomerChurned, Industry, PlanTier

CHURNED = CustomerChurned(
    customer_id="6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77",
    signup_date=date(2026, 1, 15),
    churn_date=date(2026, 6, 30),
    tenure_days=166,
    is_early_stage=False,
    industry=Industry.FINTECH,
    plan_tier=PlanTier.GROWTH,
    mrr=MRR(Decimal("83.333333")),
    lost_arr=Decimal("1000.00"),
)


def test_events_are_immutable() -> None:
    with pytest.raises(AttributeError):
        CHURNED.reason = "another"  # type: ignore[misc]


def test_events_are_equal_by_all_fields() -> None:
    assert CHURNED._replace() == CHURNED
    assert CHURNED._replace(reason="too_expensive") != CHURNED


def test_reason_is_optional() -> None:
    assert CHURNED.reason is None
