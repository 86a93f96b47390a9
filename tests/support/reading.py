"""The oracle's own reading of one record's fields, by the contract and the standard library alone."""

import calendar
import datetime as dt
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from tests.support.envelope import Attributes, Number, Refused, Undecided, open_record
from tests.support.records import Kind, Record

TOO_MUCH = Decimal(10) ** 12
INDUSTRIES = ("FinTech", "HealthTech", "LegalTech", "HR Tech", "EdTech", "InsurTech", "PropTech", "RetailTech", "Other")
PLAN_TIERS = ("free", "starter", "growth", "enterprise", "custom")
LONGEST_REASON = 200

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DATE_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})([Tt ])([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?"
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


def read_signup(record: Record) -> Signup:
    """Read a record of the signup topic, or raise `Refused`."""
    payload, _ = open_record(record)
    customer_id = _customer_id(payload)
    return Signup(
        customer_id=customer_id,
        industry=_industry(payload),
        plan_tier=_plan_tier(payload),
        signup_date=_date(payload, "signup_date"),
        mrr=_mrr(payload),
    )


def read_cancellation(record: Record) -> Cancellation:
    """Read a record of the cancellation topic, or raise `Refused`."""
    payload, attributes = open_record(record)
    customer_id = _customer_id(payload)
    date = _date(payload, "cancellation_date")
    return Cancellation(customer_id, date, _reason(payload), attributes)


def read(kind: Kind, record: Record) -> Signup | Cancellation:
    """Read a record of the given kind, or raise `Refused`."""
    return read_signup(record) if kind == "signup" else read_cancellation(record)


def _text(payload: dict[str, object], name: str) -> str | None:
    value = payload.get(name)
    return value if isinstance(value, str) and not isinstance(value, Number) else None


def _customer_id(payload: dict[str, object]) -> str:
    text = _text(payload, "customer_id")
    if text is None or not _UUID.fullmatch(text):
        raise Refused("invalid")
    return text.lower()


def _industry(payload: dict[str, object]) -> str:
    text = _text(payload, "industry")
    if text is None:
        raise Refused("invalid")
    if not text.isascii() and text.casefold() in {name.lower() for name in INDUSTRIES}:
        raise Undecided("a letter that is one of the others only by its case folding")
    return next((name for name in INDUSTRIES if name.lower() == text.lower()), "Other")


def _plan_tier(payload: dict[str, object]) -> str:
    if "plan_tier" not in payload:
        raise Refused("invalid")
    text = _text(payload, "plan_tier")
    if text is None:
        raise Undecided("a plan tier that is no text")
    if text.lower() not in PLAN_TIERS:
        raise Refused("unknown_plan_tier")
    return text.lower()


def _date(payload: dict[str, object], name: str) -> dt.date:
    text = _text(payload, name)
    if text is None:
        raise Refused("invalid")
    if plain := _DATE.fullmatch(text):
        return _calendar_date(plain)
    if full := _DATE_TIME.fullmatch(text):
        return _utc_date(full)
    raise Refused("invalid")


def _calendar_date(parts: re.Match[str]) -> dt.date:
    year, month, day = (int(part) for part in parts.groups())
    if year == 0:
        raise Undecided("the year 0000")
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        raise Refused("invalid")
    return dt.date(year, month, day)


def _utc_date(parts: re.Match[str]) -> dt.date:
    day, separator, hour, minute, second, sign, offset_hour, offset_minute = parts.groups()
    if separator == " " or int(second) == 60:
        raise Undecided("a space for the T, or a leap second")
    plain = _DATE.fullmatch(day)
    if plain is None or int(hour) > 23 or int(minute) > 59 or int(second) > 59:
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
    if "mrr" not in payload:
        raise Refused("invalid")
    mrr = payload["mrr"]
    if not isinstance(mrr, dict):
        return _amount(mrr)
    if "amount" not in mrr or "currency" not in mrr:
        raise Refused("invalid")
    currency = mrr["currency"]
    if (
        not isinstance(currency, str)
        or isinstance(currency, Number)
        or (currency != "USD" and currency.upper() == "USD")
    ):
        raise Undecided("a currency that is no text, or USD in other letters")
    if isinstance(mrr["amount"], Number):
        raise Undecided("a number for the amount inside an object")
    amount = _amount(mrr["amount"])
    if currency != "USD":
        raise Refused("unsupported_currency")
    return amount


def _amount(value: object) -> Decimal:
    if not isinstance(value, str):
        raise Refused("invalid")
    written = _AMOUNT.fullmatch(value)
    if written is None:
        if re.fullmatch(r"\s*\+?[0-9]*\.?[0-9]*([eE][+-]?[0-9]+)?\s*", value) and value.strip():
            raise Undecided(f"{value!r} as a decimal")
        raise Refused("invalid")
    sign, whole, decimals, exponent = written.groups()
    is_zero = not (whole + (decimals or "")).strip("0")
    if not isinstance(value, Number) and (exponent or (len(whole) > 1 and whole[0] == "0")):
        raise Undecided(f"{value!r} as a decimal")
    if sign:
        if is_zero or _small(whole, decimals, exponent) < Decimal("0.000001"):
            raise Undecided("a negative nothing")
        raise Refused("invalid")
    exact = Decimal(0) if is_zero else _small(whole, decimals, exponent)
    if exact >= TOO_MUCH:
        raise Refused("invalid")
    rounded = exact.quantize(Decimal("0.000001"), rounding=ROUND_HALF_UP, context=Context(prec=60))
    if rounded >= TOO_MUCH:
        raise Undecided("10^12 only by rounding")
    return rounded


def _small(whole: str, decimals: str | None, exponent: str | None) -> Decimal:
    """Return the number itself where it can be written out; else a stand-in that is as huge or as tiny."""
    power = int(exponent or "0") if len(exponent or "") < 10 else int(f"{(exponent or '')[0]}9999")
    if power > 5_000 or len(whole) > 5_000:
        return TOO_MUCH
    if power < -5_000:
        return Decimal(0)
    digits = f"{whole}.{decimals or '0'}E{power}"
    return Context(prec=20_000).create_decimal(digits)


def _reason(payload: dict[str, object]) -> str | None:
    if "reason" not in payload:
        return None
    text = _text(payload, "reason")
    if text is None or "\0" in text:
        raise Undecided("a reason that is no text, or holds a NUL")
    if len(text) > LONGEST_REASON:
        raise Refused("invalid")
    return text
