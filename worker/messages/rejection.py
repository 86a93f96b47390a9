"""Rejections of records, and their reason codes."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Reason of a rejection: the codes of the contract."""

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
    """Rejection of a record. `message` is for its sender and never repeats a value of the record.

    `customer_id` is the record's, None if it could not be read.
    """

    reason: Reason
    message: str
    customer_id: str | None = None
    name = "rejected"
