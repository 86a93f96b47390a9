"""`customer.churned` on the wire."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from domain.customer import CustomerChurned, Industry, PlanTier


class Money(msgspec.Struct, gc=False):
    """An amount of money: a decimal in text, and its currency."""

    amount: str
    currency: Literal["USD"]


class Churned(msgspec.Struct, frozen=True, gc=False):
    """The value of a `customer.churned` record."""

    customer_id: str
    signup_date: date
    churn_date: date
    tenure_days: int
    is_early_stage: bool
    industry: Industry
    plan_tier: PlanTier
    mrr: Money
    lost_arr: Money
    reason: str | None


_encode = msgspec.json.Encoder().encode


def encode_churned(event: CustomerChurned) -> bytes:
    """Encode the event as JSON."""
    return _encode(
        Churned(
            event.customer_id,
            event.signup_date,
            event.churn_date,
            event.tenure_days,
            event.is_early_stage,
            event.industry,
            event.plan_tier,
            mrr=Money(shown(event.mrr.amount), "USD"),
            lost_arr=Money(str(event.lost_arr), "USD"),
            reason=event.reason,
        )
    )


def shown(amount: Decimal) -> str:
    """Format an amount with two decimals, and more only if it has them."""
    text = f"{amount:f}"
    if text[-7:-6] == "." and text.endswith("0000"):  # the usual amount from a store
        return text[:-4]
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
