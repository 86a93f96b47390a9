"""Signup, Cancellation and Churned on the wire: what is accepted, what is refused and why.

Source of every rule: the contract, in the README under "What comes in".
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import msgspec

from domain.customer import MRR, Customer, CustomerChurned, Industry, PlanTier
from domain.customer.value_objects import CENT, MICRO, round_half_up
from worker import cloudevents
from worker.outcomes import Reason, Rejected
from worker.records import Record

MAX_REASON_CHARACTERS = 200
MRR_LIMIT = Decimal(10) ** 12


class Signup(msgspec.Struct, frozen=True, gc=False):
    """A customer signed up."""

    customer_id: str
    industry: Industry
    plan_tier: PlanTier
    signup_date: date
    mrr: MRR
    is_industry_known: bool = True

    def customer(self) -> Customer:
        """The customer this signup makes."""
        return Customer(self.customer_id, self.industry, self.plan_tier, self.signup_date, self.mrr)

    def says_the_same_as(self, customer: Customer) -> bool:
        """Whether a signup like this one made the customer, however it was spelled."""
        return (
            self.mrr == customer.mrr
            and self.signup_date == customer.signup_date
            and self.plan_tier is customer.plan_tier
            and self.industry is customer.industry
        )


class Cancellation(msgspec.Struct, frozen=True, gc=False):
    """A customer cancelled, as billing says. `record` is what said it, byte for byte."""

    customer_id: str
    cancellation_date: date
    reason: str | None
    record: Record


Message = Signup | Cancellation


class Money(msgspec.Struct, gc=False):
    """An amount of money: a decimal in text, and its currency."""

    amount: str
    currency: str


class _SignupBody(msgspec.Struct, gc=False):
    """The usual spelling of a signup; every other accepted one takes the slower way."""

    customer_id: str
    industry: str
    plan_tier: str
    signup_date: str
    mrr: Money


class _CancellationBody(msgspec.Struct, gc=False):
    customer_id: str
    cancellation_date: str
    reason: str | None = None


class Refusal(Exception):
    """A field that is missing or refused."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


_decode_signup = msgspec.json.Decoder(_SignupBody).decode
_decode_cancellation = msgspec.json.Decoder(_CancellationBody).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class Decoder:
    """Reads records into messages. `max_bytes` is the largest value taken."""

    def __init__(self, signup_topic: str, max_bytes: int) -> None:
        self._signup_topic = signup_topic
        self._max_bytes = max_bytes

    def decode(self, record: Record) -> Message | Rejected:
        """The message in a record, or why there is none. Raises nothing for whatever a record holds."""
        value = record.value
        if value is None:
            return Rejected(Reason.EMPTY, "the record has no value")
        if len(value) > self._max_bytes:
            return Rejected(Reason.TOO_LARGE, f"the value has {len(value)} bytes; at most {self._max_bytes} are taken")
        try:
            value.isascii() or value.decode()  # the parser does not look inside the fields it skips
            if cloudevents.is_structured(record):
                value = cloudevents.payload(value)
            return self._message(record, value)
        except Refusal as refusal:
            return Rejected(refusal.reason, str(refusal), _customer_id_in(value))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return Rejected(Reason.MALFORMED, _what_is_wrong(error))

    def _message(self, record: Record, value: bytes) -> Message:
        if record.topic == self._signup_topic:
            try:
                body = _decode_signup(value)
                mrr = body.mrr
                return _signup(
                    body.customer_id, body.industry, body.plan_tier, body.signup_date, mrr.amount, mrr.currency
                )
            except msgspec.ValidationError:
                return _signup_from(_members(value))
        try:
            cancellation = _decode_cancellation(value)
        except msgspec.ValidationError:
            fields = _members(value)
            cancellation = _CancellationBody(
                _required(fields, "customer_id"), _required(fields, "cancellation_date"), fields.get("reason")
            )
        return Cancellation(
            customer_id_from(cancellation.customer_id),
            date_from("cancellation_date", cancellation.cancellation_date),
            reason_from(cancellation.reason),
            record,
        )


def _what_is_wrong(error: Exception) -> str:
    if isinstance(error, cloudevents.EnvelopeError):
        return str(error)
    if isinstance(error, UnicodeDecodeError):
        return "the value is not UTF-8"
    if isinstance(error, RecursionError):
        return "the value is nested too deep"
    return "the value is not a JSON object"


class JsonNumber(str):
    """A number as it stands in JSON, never turned into a float."""

    __slots__ = ()


def _members(value: bytes) -> dict[str, Any]:
    """The members of a JSON object: text as `str`, a number as `JsonNumber`, null as None, others as they stand.

    What stands in a member nobody asks for does not matter, so that a number too large for Python is no obstacle.
    """
    return {name: _member(bytes(raw)) for name, raw in _decode_members(value).items()}


def _member(token: bytes) -> Any:
    if token[:1] == b'"':
        return _decode_text(token)
    if token[:1] in b"-0123456789":
        return JsonNumber(token.decode())
    return None if token == b"null" else token


def _signup_from(fields: dict[str, Any]) -> Signup:
    mrr = _required(fields, "mrr")
    currency: Any = "USD"
    if isinstance(mrr, bytes) and mrr.startswith(b"{"):
        money = _members(mrr)
        currency = _required(money, "currency", "mrr.currency")
        mrr = _required(money, "amount", "mrr.amount")
    customer_id, industry, plan_tier, signup_date = (
        _required(fields, name) for name in ("customer_id", "industry", "plan_tier", "signup_date")
    )
    return _signup(customer_id, industry, plan_tier, signup_date, mrr, currency)


def _signup(customer_id: Any, industry: Any, plan_tier: Any, signup_date: Any, amount: Any, currency: Any) -> Signup:
    identity = customer_id_from(customer_id)
    known_industry = industry_from(industry)
    tier = plan_tier_from(plan_tier)
    day = date_from("signup_date", signup_date)
    if currency != "USD":
        _text("mrr.currency", currency)
        _refuse("the currency of mrr is not USD", Reason.UNSUPPORTED_CURRENCY)
    mrr = mrr_from(amount)
    return Signup(identity, known_industry or Industry.OTHER, tier, day, mrr, known_industry is not None)


def _required(fields: dict[str, Any], name: str, path: str | None = None) -> Any:
    if name not in fields:
        _refuse(f"{path or name} is missing")
    return fields[name]


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str) or isinstance(value, JsonNumber):
        _refuse(f"{field} is not a string")
    return value


def _refuse(message: str, reason: Reason = Reason.INVALID) -> NoReturn:
    raise Refusal(reason, message)


def _customer_id_in(value: bytes) -> str | None:
    """Whom a refused message is about, where that much can be read."""
    try:
        return customer_id_from(_members(value).get("customer_id"))
    except (Refusal, msgspec.DecodeError, ValueError, RecursionError):
        return None


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


def customer_id_from(value: Any) -> str:
    """A UUID in 8-4-4-4-12 form, in lower case. Raises `Refusal` for anything else, as all of these do."""
    # Lower case first would let in letters whose lower case is an ASCII one, such as the Kelvin sign.
    if not isinstance(value, str) or not value.isascii() or not _UUID(lowered := value.lower()):
        _refuse("customer_id is not a UUID of the form 8-4-4-4-12")
    return lowered


_INDUSTRIES = {industry.lower(): industry for industry in Industry}
_PLAN_TIERS = {tier.value: tier for tier in PlanTier}


def industry_from(value: Any) -> Industry | None:
    """The industry of that name in any letter case; None for a name we do not know."""
    return _INDUSTRIES.get(_text("industry", value).lower())


def plan_tier_from(value: Any) -> PlanTier:
    """The tier of that name in any letter case."""
    tier = _PLAN_TIERS.get(_text("plan_tier", value).lower())
    if tier is None:
        _refuse("plan_tier is not one of " + ", ".join(_PLAN_TIERS), Reason.UNKNOWN_PLAN_TIER)
    return tier


def reason_from(value: Any) -> str | None:
    """Billing's reason, as it is, or None."""
    if value is None:
        return None
    text = _text("reason", value)
    if len(text) > MAX_REASON_CHARACTERS:
        _refuse(f"reason is longer than {MAX_REASON_CHARACTERS} characters")
    return text


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_DATE_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[Zz]|([+-][0-9]{2}:[0-5][0-9]))"
).fullmatch
_LEAP_SECOND = 60
_KNOWN_DATES: dict[str, date] = {}  # dates repeat: parsing one costs more than finding it
_MAX_KNOWN_DATES = 50_000


def date_from(field: str, value: Any) -> date:
    """`YYYY-MM-DD`, or an RFC 3339 date-time taken as its date in UTC."""
    text = _text(field, value)
    known = _KNOWN_DATES.get(text)
    if known is None:
        known = _date(field, text)
        if len(text) == len("2026-01-15") and len(_KNOWN_DATES) < _MAX_KNOWN_DATES:
            _KNOWN_DATES[text] = known
    return known


def _date(field: str, value: str) -> date:
    try:
        if _DATE(value):
            return date.fromisoformat(value)
        if match := _DATE_TIME(value):
            day, minute, second, offset = match.groups()
            if int(second) > _LEAP_SECOND:
                _refuse(f"{field} is not a date of the calendar")
            moment = datetime.fromisoformat(f"{day}T{minute}{offset or '+00:00'}")
            # The seconds and their fraction never change the date.
            return moment.astimezone(UTC).date()
    except (ValueError, OverflowError):
        _refuse(f"{field} is not a date of the calendar")
    _refuse(f"{field} is neither YYYY-MM-DD nor an RFC 3339 date-time")


_PLAIN_DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?").fullmatch
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch


def mrr_from(value: Any) -> MRR:
    """A decimal in text or a JSON number: from 0 to below 10^12, rounded half up to six decimals."""
    if not isinstance(value, str) or not _DECIMAL(value):
        _refuse("mrr is not a decimal number")
    if _PLAIN_DECIMAL(value):  # within the limits by its form
        return MRR(Decimal(value))
    try:
        exact = Decimal(value)
        if exact < 0:
            _refuse("mrr is negative")
        amount = abs(round_half_up(exact, MICRO)) if exact < MRR_LIMIT else MRR_LIMIT
    except (InvalidOperation, OverflowError):
        _refuse("mrr is out of range")
    if amount >= MRR_LIMIT:
        _refuse("mrr is not below 10^12")
    return MRR(amount)


class Churned(msgspec.Struct, frozen=True, gc=False):
    """`customer.churned` on the wire."""

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
    """The event as JSON."""
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
    """An amount with two decimals, and more only where it has them."""
    cents = round_half_up(amount, CENT)
    return str(cents) if cents == amount else f"{amount.normalize():f}"
