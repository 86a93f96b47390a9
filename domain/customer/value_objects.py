"""Value objects of a customer: immutable, and equal by value."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from enum import StrEnum

CENT = Decimal("0.01")
MICRO = Decimal("0.000001")
MRR_LIMIT = Decimal(10) ** 12
"""Every MRR is below this many dollars a month."""

_NOTHING = Decimal(0)
_MONTHS = Decimal(12)
# Wide enough for any amount below 10^12 with 6 decimals, times 12; and independent of the caller's decimal context.
_MONEY = Context(prec=60, rounding=ROUND_HALF_UP)
_quantize, _multiply = _MONEY.quantize, _MONEY.multiply


def round_half_up(amount: Decimal, unit: Decimal) -> Decimal:
    """`amount` to the nearest multiple of `unit` (`CENT`, `MICRO`), halves away from zero."""
    return _MONEY.quantize(amount, unit)


@dataclass(frozen=True, slots=True, init=False)
class MRR:
    """Monthly recurring revenue in US dollars, never negative.

    Raises `ValueError` when the amount is negative, NaN, infinite or not below 10^12, and `TypeError` when it is not a
    `Decimal`: a float has already lost the exact amount (see `MRR.from_float`).
    """

    amount: Decimal

    # One is created per signup and per customer loaded: a valid amount takes a single call.
    def __init__(self, amount: Decimal) -> None:
        if type(amount) is not Decimal and not isinstance(amount, Decimal):
            raise TypeError(f"MRR takes a Decimal, not {type(amount).__name__}; for a float use MRR.from_float")
        try:
            is_in_range = _NOTHING <= amount < MRR_LIMIT
        except InvalidOperation:  # NaN is not comparable
            is_in_range = False
        if not is_in_range:
            raise ValueError(_refusal(amount))
        _set_amount(self, amount)

    @classmethod
    def from_float(cls, amount: float) -> MRR:
        """Return the amount of a float's shortest representation, rounded half up to six decimals."""
        exact = cls(Decimal(repr(float(amount)))).amount  # validated before rounding
        return cls(round_half_up(exact, MICRO))

    @property
    def annual(self) -> Decimal:
        """Annual recurring revenue (ARR): 12 months, rounded half up to cents, so that 83.333333 is 1000.00 a year."""
        return _quantize(_multiply(self.amount, _MONTHS), CENT)

    def revenue_at_risk(self, churn_probability: float | Decimal) -> Decimal:
        """Return the monthly revenue expected to be lost: MRR times a probability between 0 and 1.

        Raises `ValueError` when the probability lies outside 0..1.
        """
        probability = Decimal(str(churn_probability))
        if not probability.is_finite() or not 0 <= probability <= 1:
            raise ValueError(f"a churn probability lies between 0 and 1, not {churn_probability}")
        return _MONEY.multiply(self.amount, probability)

    def __str__(self) -> str:
        return dollars(self.amount)


_set_amount = MRR.__dict__["amount"].__set__  # past the frozen class, in less time than object.__setattr__


def _refusal(amount: Decimal) -> str:
    if not amount.is_finite():
        return "MRR is a finite amount"
    return "MRR is never negative" if amount < _NOTHING else "MRR is below 10^12 dollars"


def dollars(amount: Decimal) -> str:
    """`amount` for a reader, in cents: `$5,988.00`."""
    return f"${_MONEY.add(round_half_up(amount, CENT), 0):,f}"  # adding nothing takes the sign from a negative zero


class PlanTier(StrEnum):
    """The price ladder, cheapest first; `custom` is negotiated and is its top.

    Tiers compare by their step: `PlanTier.STARTER < PlanTier.GROWTH`.
    """

    FREE = "free"
    STARTER = "starter"
    GROWTH = "growth"
    ENTERPRISE = "enterprise"
    CUSTOM = "custom"

    @property
    def step(self) -> int:
        """The place on the ladder, 0 for `free`."""
        return _LADDER.index(self)

    def __lt__(self, other: object) -> bool:
        return self.step < other.step if isinstance(other, PlanTier) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self.step <= other.step if isinstance(other, PlanTier) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return self.step > other.step if isinstance(other, PlanTier) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self.step >= other.step if isinstance(other, PlanTier) else NotImplemented


_LADDER = tuple(PlanTier)


class Industry(StrEnum):
    """The customer's line of business; `Other` stands for unknown names."""

    FINTECH = "FinTech"
    HEALTHTECH = "HealthTech"
    LEGALTECH = "LegalTech"
    HR_TECH = "HR Tech"
    EDTECH = "EdTech"
    INSURTECH = "InsurTech"
    PROPTECH = "PropTech"
    RETAILTECH = "RetailTech"
    OTHER = "Other"
