"""The customer, and the rules of leaving."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from domain.customer.errors import AlreadyChurned, ChurnBeforeSignup
from domain.customer.events import CustomerChurned
from domain.customer.value_objects import MRR, Industry, PlanTier, dollars

EARLY_STAGE_DAYS = 90
"""20 to 25 % of voluntary churn falls within a customer's first 90 days; day 90 itself counts."""


@dataclass(slots=True, eq=False)
class Customer:
    """A customer, from signup to churn. Two are equal when their `customer_id` is, whatever else differs."""

    customer_id: str
    industry: Industry
    plan_tier: PlanTier
    signup_date: date
    mrr: MRR
    churn_date: date | None = None

    def __eq__(self, other: object) -> bool:
        return self.customer_id == other.customer_id if isinstance(other, Customer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.customer_id)

    @property
    def is_active(self) -> bool:
        """Whether the customer has not churned."""
        return self.churn_date is None

    @property
    def tenure_days(self) -> int:
        """Days from signup to churn, or to today while active: the time axis of survival models."""
        return self.tenure_days_on(date.today())  # noqa: DTZ011 - a business day, given by the caller where it matters

    def tenure_days_on(self, today: date) -> int:
        """`tenure_days`, as `today` sees it."""
        return ((self.churn_date or today) - self.signup_date).days

    @property
    def is_early_stage(self) -> bool:
        """Whether the customer is (or, once churned, was) within the first 90 days."""
        return self.tenure_days <= EARLY_STAGE_DAYS

    def is_early_stage_on(self, today: date) -> bool:
        """`is_early_stage`, as `today` sees it."""
        return self.tenure_days_on(today) <= EARLY_STAGE_DAYS

    @property
    def annual_revenue_at_risk(self) -> str:
        """What this customer's leaving costs a year, for a reader: `$5,988.00`."""
        return dollars(self.mrr.annual)

    def mark_churned(self, churn_date: date, reason: str | None = None) -> CustomerChurned:
        """Record that the customer left on `churn_date`, and say what happened.

        Raises `AlreadyChurned` when they left before, `ChurnBeforeSignup` when the date precedes their signup;
        both are `ValueError`, and both leave the customer as it was.
        """
        if self.churn_date is not None:
            raise AlreadyChurned(self.customer_id, self.churn_date)
        if churn_date < self.signup_date:
            raise ChurnBeforeSignup(self.customer_id, self.signup_date, churn_date)
        self.churn_date = churn_date
        tenure_days = self.tenure_days_on(churn_date)
        return CustomerChurned(
            customer_id=self.customer_id,
            signup_date=self.signup_date,
            churn_date=churn_date,
            tenure_days=tenure_days,
            is_early_stage=tenure_days <= EARLY_STAGE_DAYS,
            industry=self.industry,
            plan_tier=self.plan_tier,
            mrr=self.mrr,
            lost_arr=self.mrr.annual,
            reason=reason,
        )
