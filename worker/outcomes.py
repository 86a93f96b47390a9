"""What a record led to. Expected outcomes are values; an exception is a surprise."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from domain.customer import CustomerChurned


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


class Applied(msgspec.Struct, frozen=True, gc=False):
    """The record changed a customer; `event` says so to other domains, where it is theirs to know."""

    event: CustomerChurned | None = None
    name = "applied"


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """The record says what is known already."""

    name = "duplicate"


class Parked(msgspec.Struct, frozen=True, gc=False):
    """A cancellation that came before its customer's signup, kept until that comes."""

    name = "parked"


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """The record cannot take effect. `message` is for its sender and never repeats a value it sent.

    `customer_id` is whom it is about, where that could be read.
    """

    reason: Reason
    message: str
    customer_id: str | None = None
    name = "rejected"


Outcome = Applied | Duplicate | Parked | Rejected

APPLIED = Applied()
DUPLICATE = Duplicate()
PARKED = Parked()
