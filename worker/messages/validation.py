"""Validation of the fields of messages.

Every function raises `FieldRefused` with a message for the sender, which names the field and never repeats its value.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NoReturn

from domain.customer import MICRO, MRR, MRR_LIMIT, Industry, PlanTier, round_half_up
from worker.messages.rejection import Reason
from worker.messages.uuid_fast_path import is_canonical_uuid

MAX_REASON_CHARACTERS = 200


class FieldRefused(Exception):
    """A field that is missing or refused."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class JsonNumber(str):
    """A number as written in JSON, never converted to a float."""

    __slots__ = ()


def text_from(field: str, value: Any) -> str:
    """Return text unchanged."""
    if not isinstance(value, str) or isinstance(value, JsonNumber):
        refuse(f"{field} is not a string")
    return value


def refuse(message: str, reason: Reason = Reason.INVALID) -> NoReturn:
    """Raise `FieldRefused`."""
    raise FieldRefused(reason, message)


def customer_id_from(value: Any) -> str:
    """Return a UUID of the form 8-4-4-4-12 in lower case."""
    if not isinstance(value, str) or not (is_canonical_uuid(value) or is_canonical_uuid(value := value.lower())):
        refuse("customer_id is not a UUID of the form 8-4-4-4-12")
    return value


_INDUSTRIES = {industry.lower(): industry for industry in Industry}
_PLAN_TIERS = {tier.value: tier for tier in PlanTier}


def industry_from(value: Any) -> Industry | None:
    """Return the industry with this name in any letter case; None if the name is unknown."""
    return _INDUSTRIES.get(text_from("industry", value).lower())


def plan_tier_from(value: Any) -> PlanTier:
    """Return the tier with this name in any letter case."""
    tier = _PLAN_TIERS.get(text_from("plan_tier", value).lower())
    if tier is None:
        refuse("plan_tier is not one of " + ", ".join(_PLAN_TIERS), Reason.UNKNOWN_PLAN_TIER)
    return tier


def reason_from(value: Any) -> str | None:
    """Return the reason of the cancellation unchanged, or None."""
    if value is None:
        return None
    text = text_from("reason", value)
    if len(text) > MAX_REASON_CHARACTERS:
        refuse(f"reason is longer than {MAX_REASON_CHARACTERS} characters")
    return text


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_DATE_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[Zz]|([+-][0-9]{2}:[0-5][0-9]))"
).fullmatch
_LEAP_SECOND = 60


def date_from(field: str, value: Any) -> date:
    """Parse `YYYY-MM-DD`, or an RFC 3339 date-time, of which the date in UTC is returned."""
    text = text_from(field, value)
    try:
        if _DATE(text):
            return date.fromisoformat(text)
        if match := _DATE_TIME(text):
            day, minute, second, offset = match.groups()
            if int(second) > _LEAP_SECOND:
                refuse(f"{field} is not a date of the calendar")
            moment = datetime.fromisoformat(f"{day}T{minute}{offset or '+00:00'}")
            # The seconds and their fraction never change the date.
            return moment.astimezone(UTC).date()
    except (ValueError, OverflowError):
        refuse(f"{field} is not a date of the calendar")
    refuse(f"{field} is neither YYYY-MM-DD nor an RFC 3339 date-time")


_DECIMAL = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)(?:[eE]([+-]?)0*([0-9]+))?").fullmatch
_EXPONENT_DIGITS = 8
"""More digits in an exponent make any amount zero or too large, as a value has fewer digits than 10^8."""


def mrr_from(value: Any) -> MRR:
    """Parse a decimal string or a JSON number from 0 to below 10^12; rounded half up to six decimals."""
    match = _DECIMAL(value) if isinstance(value, str) else None
    if match is None:
        refuse("mrr is not a decimal number")
    digits, sign, exponent = match.groups()
    if exponent and len(exponent) > _EXPONENT_DIGITS:  # Decimal has a limit, also for zeros
        value = f"{digits}e{sign}{'9' * _EXPONENT_DIGITS}"
    exact = Decimal(value)
    if exact < 0:
        refuse("mrr is negative")
    amount = abs(round_half_up(exact, MICRO)) if exact < MRR_LIMIT else MRR_LIMIT
    if amount >= MRR_LIMIT:
        refuse("mrr is not below 10^12")
    return MRR(amount)
