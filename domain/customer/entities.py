"""The customer, and the rules of signup and churn."""

from __future__ import annotations

from datetime import date
from typing import Self

from domain.customer.errors import AlreadyChurned, ChurnBeforeSignup
from domain.customer.events import CustomerChurned
from domain.customer.value_objects import MRR, Industry, PlanTier, dollars

EARLY_STAGE_DAYS = 90
"""20 to 25 % of voluntary churn falls within a customer's first 90 days; day 90 itself counts."""


class Customer:
    """A customer, from signup to churn. Customers are equal if their `customer_id` is equal.

    Every attribute is read-only: the terms of the signup never change, `churn_date` is set by `mark_churned` alone.
    The constructor restores a stored customer; `sign_up` creates a new one.
    """

    # Properties over private slots: customers are created in bulk, and a frozen dataclass takes four times as long.
    __slots__ = ("_churn_date", "_customer_id", "_industry", "_mrr", "_plan_tier", "_signup_date")

    def __init__(
        self,
        customer_id: str,
        industry: Industry,
        plan_tier: PlanTier,
        signup_date: date,
        mrr: MRR,
        churn_date: date | None = None,
    ) -> None:
        self._customer_id = customer_id
        self._industry = industry
        self._plan_tier = plan_tier
        self._signup_date = signup_date
        self._mrr = mrr
        self._churn_date = churn_date

    @classmethod
    def sign_up(cls, customer_id: str, industry: Industry, plan_tier: PlanTier, signup_date: date, mrr: MRR) -> Self:
        """Create the customer of a first signup, active and with fixed terms.

        Raises `ValueError` without a `customer_id`. A later signup of the same customer has to have the same terms
        (`has_terms`), or it is a `SignupConflict`.
        """
        if not customer_id:
            raise ValueError("a customer signs up with a customer_id")
        return cls(customer_id, industry, plan_tier, signup_date, mrr)

    def has_terms(self, industry: Industry, plan_tier: PlanTier, signup_date: date, mrr: MRR) -> bool:
        """Return whether the customer signed up with exactly these terms: then the signup is a repetition."""
        return (
            self._mrr.amount == mrr.amount
            and self._signup_date == signup_date
            and self._plan_tier is plan_tier
            and self._industry is industry
        )

    @property
    def customer_id(self) -> str:
        """The customer's identity."""
        return self._customer_id

    @property
    def industry(self) -> Industry:
        """The customer's line of business."""
        return self._industry

    @property
    def plan_tier(self) -> PlanTier:
        """The tier signed up for."""
        return self._plan_tier

    @property
    def signup_date(self) -> date:
        """The first day as a customer."""
        return self._signup_date

    @property
    def mrr(self) -> MRR:
        """The monthly recurring revenue signed up for."""
        return self._mrr

    @property
    def churn_date(self) -> date | None:
        """The day of the churn, None while active."""
        return self._churn_date

    def __repr__(self) -> str:
        return (
            f"Customer(customer_id={self._customer_id!r}, industry={self._industry!r}, plan_tier={self._plan_tier!r}, "
            f"signup_date={self._signup_date!r}, mrr={self._mrr!r}, churn_date={self._churn_date!r})"
        )

    def __eq__(self, other: object) -> bool:
        return self._customer_id == other._customer_id if isinstance(other, Customer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._customer_id)

    @property
    def is_active(self) -> bool:
        """Whether the customer has not churned."""
        return self._churn_date is None

    @property
    def tenure_days(self) -> int:
        """Days from signup to churn, or to today while active: the time axis of survival models."""
        return self.tenure_days_on(date.today())  # noqa: DTZ011 - a business day, given by the caller where it matters

    def tenure_days_on(self, today: date) -> int:
        """Return `tenure_days` as of `today`."""
        return ((self._churn_date or today) - self._signup_date).days

    @property
    def is_early_stage(self) -> bool:
        """Whether the customer is (or, once churned, was) within the first 90 days."""
        return self.tenure_days <= EARLY_STAGE_DAYS

    def is_early_stage_on(self, today: date) -> bool:
        """Return `is_early_stage` as of `today`."""
        return self.tenure_days_on(today) <= EARLY_STAGE_DAYS

    @property
    def annual_revenue_at_risk(self) -> str:
        """Annual recurring revenue at risk, formatted: `$5,988.00`."""
        return dollars(self.mrr.annual)

    def mark_churned(self, churn_date: date, reason: str | None = None) -> CustomerChurned:
        """Record that the customer churned on `churn_date`, and return the event.

        Raises `AlreadyChurned` if the customer has churned before, `ChurnBeforeSignup` if the date precedes the
        signup; both are `ValueError`, and both leave the customer unchanged.
        """
        if self._churn_date is not None:
            raise AlreadyChurned(self._customer_id, self._churn_date)
        if churn_date < self._signup_date:
            raise ChurnBeforeSignup(self._customer_id, self._signup_date, churn_date)
        self._churn_date = churn_date
        tenure_days = (churn_date - self._signup_date).days
        return CustomerChurned(  # by position: keywords take twice as long
            self._customer_id,
            self._signup_date,
            churn_date,
            tenure_days,
            tenure_days <= EARLY_STAGE_DAYS,
            self._industry,
            self._plan_tier,
            self._mrr,
            self._mrr.annual,
            reason,
        )
