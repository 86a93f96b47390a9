"""The decisions of the job, the same on each framework: state of a customer and message in, state and event out.

A customer's state is the signup, with `churn_date` once churned, or `{"early": cancellation}` before the signup.
This module is imported in each framework's environment: it uses the standard library only.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Json = dict[str, Any]


def decide(state: Json | None, message: Json) -> tuple[Json | None, Json | None]:
    """Return the customer's state after a signup or cancellation, and the event to publish."""
    if "signup_date" in message:
        return _sign_up(state, message)
    if state is None:
        return {"early": message}, None
    if "early" in state or "churn_date" in state:
        return state, None
    return _churn(state, message)


def _sign_up(state: Json | None, signup: Json) -> tuple[Json, Json | None]:
    if state is None:
        return signup, None
    return _churn(signup, state["early"]) if "early" in state else (state, None)


def _churn(customer: Json, cancellation: Json) -> tuple[Json, Json]:
    churn_date = cancellation["cancellation_date"]
    event = {
        "customer_id": customer["customer_id"],
        "signup_date": customer["signup_date"],
        "churn_date": churn_date,
        "industry": customer["industry"],
        "plan_tier": customer["plan_tier"],
        "mrr": customer["mrr"],
        "lost_arr": {"amount": str(Decimal(customer["mrr"]["amount"]) * 12), "currency": "USD"},
        "reason": cancellation.get("reason"),
    }
    return {**customer, "churn_date": churn_date}, event
