"""A model of the contract: the outcome of each record, one customer at a time and without a store.

It knows neither batches nor the order in which the two topics are read: within a topic a customer's records keep
their order, and that alone decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.support.builders import NOON_MS

Place = tuple[str, int, int]


@dataclass(frozen=True)
class Signup:
    """A signup with one of a few sets of particulars, in one of a few spellings."""

    who: str
    tier: str = "growth"
    day: date = date(2026, 1, 15)
    amount: Decimal = Decimal("499.00")
    spelling: int = 0

    @property
    def says(self) -> tuple[object, ...]:
        """The attributes that are compared."""
        return self.tier, self.day, self.amount


@dataclass(frozen=True)
class Cancellation:
    """A cancellation, with a reason or none."""

    who: str
    day: date
    reason: str | None = None


@dataclass(frozen=True)
class Bad:
    """A record that nobody can take, and why."""

    value: bytes | None
    reason: str


Said = Signup | Cancellation | Bad
Log = Sequence[Said]
"""One partition of a topic, from offset 0."""


@dataclass
class Expected:
    """The end of the story."""

    customers: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    outcomes: dict[Place, tuple[str, str | None]] = field(default_factory=dict)
    parked: set[Place] = field(default_factory=set)
    churned: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def dead_letters(self) -> set[str]:
        """The id of each."""
        rejected = [place for place, (outcome, _) in self.outcomes.items() if outcome == "rejected"]
        return {f"{topic}/{partition}/{offset}@{NOON_MS}" for topic, partition, offset in rejected}


def expected(logs: Mapping[tuple[str, int], Log]) -> Expected:
    """Return the result of all these records, in any order of reading."""
    end = Expected()
    said = [
        ((topic, partition, offset), each)
        for (topic, partition), log in logs.items()
        for offset, each in enumerate(log)
    ]
    for place, each in said:
        if isinstance(each, Bad):
            end.outcomes[place] = ("rejected", each.reason)
    for who in {each.who for _, each in said if not isinstance(each, Bad)}:
        signups = [(place, each) for place, each in said if isinstance(each, Signup) and each.who == who]
        cancellations = [(place, each) for place, each in said if isinstance(each, Cancellation) and each.who == who]
        _one_customer(end, who, signups, cancellations)
    return end


def _one_customer(
    end: Expected, who: str, signups: list[tuple[Place, Signup]], cancellations: list[tuple[Place, Cancellation]]
) -> None:
    if not signups:
        for place, _ in cancellations:
            end.outcomes[place] = ("parked", None)
            end.parked.add(place)
        return
    first = signups[0][1]
    for place, signup in signups[1:]:
        same = signup.says == first.says
        end.outcomes[place] = ("duplicate", None) if same else ("rejected", "signup_conflict")
    end.outcomes[signups[0][0]] = ("applied", None)
    churned_on: date | None = None
    for place, cancellation in cancellations:
        if churned_on is None and cancellation.day < first.day:
            end.outcomes[place] = ("rejected", "churn_before_signup")
        elif churned_on is None:
            churned_on = cancellation.day
            end.outcomes[place] = ("applied", None)
            end.churned[who] = _event(first, cancellation)
        elif cancellation.day == churned_on:
            end.outcomes[place] = ("duplicate", None)
        else:
            end.outcomes[place] = ("rejected", "already_churned")
    end.customers[who] = (first.tier, first.day, first.amount, churned_on)


def _event(signup: Signup, cancellation: Cancellation) -> dict[str, Any]:
    tenure = (cancellation.day - signup.day).days
    lost = (signup.amount * 12).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return {
        "customer_id": signup.who,
        "signup_date": str(signup.day),
        "churn_date": str(cancellation.day),
        "tenure_days": tenure,
        "is_early_stage": tenure <= 90,
        "industry": "FinTech",
        "plan_tier": signup.tier,
        "mrr": {"amount": str(signup.amount), "currency": "USD"},
        "lost_arr": {"amount": str(lost), "currency": "USD"},
        "reason": cancellation.reason,
    }
