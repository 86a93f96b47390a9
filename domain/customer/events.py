"""Events of a customer, named in the past tense, for other domains."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from domain.customer.value_objects import MRR, Industry, PlanTier


class CustomerChurned(NamedTuple):
    """A customer left on `churn_date`, and with them `lost_arr` dollars a year (ARR, see `MRR.annual`)."""

    customer_id: str
    signup_date: date
    churn_date: date
    tenure_days: int
    is_early_stage: bool
    industry: Industry
    plan_tier: PlanTier
    mrr: MRR
    lost_arr: Decimal
    reason: str | None = None
