"""The oracle's own reading of one record's fields, by the contract and the standard library alone."""

import calendar
import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal

from tests.support.envelope import Attributes, Refused, open_record, text_of
from tests.support.records import Kind, Record

TOO_MUCH = 10**12
INDUSTRIES = ("FinTech", "HealthTech", "LegalTech", "HR Tech", "EdTech", "InsurTech", "PropTech", "RetailTech", "Other")
PLAN_TIERS = ("free", "starter", "growth", "enterprise", "custom")
LONGEST_REASON = 200

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DATE_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_AMOUNT = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Signup:
    """A signup once read: two are the same when all of this is equal."""

    customer_id: str
    industry: str
    plan_tier: str
    signup_date: dt.date
    mrr: Decimal


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A cancellation once read, with what its event carries on."""

    customer_id: str
    cancellation_date: dt.date
    reason: str | None
    attributes: Attributes


def read(kind: Kind, record: Record, *, accept_framed: bool = False) -> Signup | Cancellation:
    """Read a record of the given kind, or raise `Refused`: of several faults the first in the contract's order."""
    payload, attributes = open_record(record, accept_framed=accept_framed)
    try:
        return _signup(payload) if kind == "signup" else _cancellation(payload, attributes)
    except Refused as refused:
        refused.customer_id = _readable_id(payload)
        raise


def _signup(payload: dict[str, object]) -> Signup:
    return Signup(
        customer_id=_customer_id(payload),
        industry=_industry(payload),
        plan_tier=_plan_tier(payload),
        signup_date=_date(payload, "signup_date"),
        mrr=_mrr(payload),
    )


def _cancellation(payload: dict[str, object], attributes: Attributes) -> Cancellation:
    customer_id = _customer_id(payload)
    date = _date(payload, "cancellation_date")
    return Cancellation(customer_id, date, _reason(payload), attributes)


def _readable_id(payload: dict[str, object]) -> str | None:
    try:
        return _customer_id(payload)
    except Refused:
        return None


def _text(payload: dict[str, object], name: str) -> str:
    text = text_of(payload.get(name))
    if text is None:
        raise Refused("invalid")
    return text


def _customer_id(payload: dict[str, object]) -> str:
    text = _text(payload, "customer_id")
    if not _UUID.fullmatch(text):
        raise Refused("invalid")
    return text.lower()


_ANY_CASE = {name.lower(): name for name in INDUSTRIES}


def _industry(payload: dict[str, object]) -> str:
    text = _text(payload, "industry")
    return _ANY_CASE.get(text.lower(), "Other") if text.isascii() else "Other"


def _plan_tier(payload: dict[str, object]) -> str:
    text = _text(payload, "plan_tier")
    if not text.isascii() or text.lower() not in PLAN_TIERS:
        raise Refused("unknown_plan_tier")
    return text.lower()


def _date(payload: dict[str, object], name: str) -> dt.date:
    text = _text(payload, name)
    if plain := _DATE.fullmatch(text):
        return _calendar_date(plain)
    if full := _DATE_TIME.fullmatch(text):
        return _utc_date(full)
    raise Refused("invalid")


def _calendar_date(parts: re.Match[str]) -> dt.date:
    year, month, day = (int(part) for part in parts.groups())
    if not (year and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        raise Refused("invalid")
    return dt.date(year, month, day)


def _utc_date(parts: re.Match[str]) -> dt.date:
    """Return the date in UTC; a leap second is still of the day that it ends."""
    day, hour, minute, second, sign, offset_hour, offset_minute = parts.groups()
    plain = _DATE.fullmatch(day)
    if plain is None or int(hour) > 23 or int(minute) > 59 or int(second) > 60:
        raise Refused("invalid")
    ahead = 0
    if sign:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise Refused("invalid")
        ahead = int(f"{sign}1") * (int(offset_hour) * 60 + int(offset_minute))
    days = (int(hour) * 60 + int(minute) - ahead) // (24 * 60)
    try:
        return _calendar_date(plain) + dt.timedelta(days=days)
    except OverflowError:  # its date in UTC lies outside the years a date can have
        raise Refused("invalid") from None


def _mrr(payload: dict[str, object]) -> Decimal:
    mrr = payload.get("mrr")
    if not isinstance(mrr, dict):
        return _amount(mrr)
    currency = _text(mrr, "currency")
    if "amount" not in mrr:
        raise Refused("invalid")
    if currency != "USD":
        raise Refused("unsupported_currency")
    return _amount(mrr["amount"])


def _amount(value: object) -> Decimal:
    """Read a decimal number, text or not, in whole millionths. All of it is arithmetic on its digits."""
    written = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        raise Refused("invalid")
    sign, whole, decimals, exponent = written.groups(default="")
    digits = (whole + decimals).lstrip("0")
    if not digits:
        return Decimal(0)
    if sign:
        raise Refused("invalid")
    before_point = len(digits) + _power(exponent) - len(decimals)
    if before_point > 12:
        raise Refused("invalid")
    kept = before_point + 6  # the digits down to the millionths
    if kept < 0:
        return Decimal(0)
    padded = digits[: kept + 1].ljust(kept + 1, "0")
    millionths = int(padded[:kept] or "0") + (padded[kept] >= "5")
    if millionths >= TOO_MUCH * 10**6:
        raise Refused("invalid")
    return Decimal(millionths).scaleb(-6)


def _power(exponent: str) -> int:
    """Return the exponent, or one as good as it: a value has fewer than 100,000 digits."""
    sign = -1 if exponent.startswith("-") else 1
    return sign * int(exponent.lstrip("+-").lstrip("0")[:7] or "0")


def _reason(payload: dict[str, object]) -> str | None:
    if payload.get("reason") is None:
        return None
    text = _text(payload, "reason")
    if len(text) > LONGEST_REASON:
        raise Refused("invalid")
    return text
