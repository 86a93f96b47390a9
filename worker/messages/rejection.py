"""Rejections: a record that cannot take effect, and the reason that its sender is given."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Why a record was rejected: the codes of the contract."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    INVALID = "invalid"
    UNSUPPORTED_CURRENCY = "unsupported_currency"
    UNKNOWN_PLAN_TIER = "unknown_plan_tier"
    SIGNUP_CONFLICT = "signup_conflict"
    ALREADY_CHURNED = "already_churned"
    CHURN_BEFORE_SIGNUP = "churn_before_signup"
    NO_SIGNUP = "no_signup"


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """The record cannot take effect. `message` is for its sender and never repeats a value it sent.

    `customer_id` is whom it is about, where that could be read.
    """

    reason: Reason
    message: str
    customer_id: str | None = None
    name = "rejected"
