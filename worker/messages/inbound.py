"""Signup, Cancellation and Churned on the wire: what is accepted, what is refused and why.

Source of every rule: docs/contract.md. The rules of each field are in `validation`.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from domain.customer import MRR, Customer, CustomerChurned, Industry, PlanTier
from worker.messages import cloudevents
from worker.messages.record import Record
from worker.messages.rejection import Reason, Rejected
from worker.messages.validation import (
    MAX_REASON_CHARACTERS,
    FieldRefused,
    JsonNumber,
    customer_id_from,
    date_from,
    industry_from,
    mrr_from,
    plan_tier_from,
    reason_from,
    refuse,
    text_from,
)


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
    currency: Literal["USD"]


class _SignupBody(msgspec.Struct, gc=False):
    """The usual spelling of a signup, which the parser checks in passing; every other takes the slower way."""

    customer_id: str
    industry: Industry
    plan_tier: PlanTier
    signup_date: date
    mrr: Money


class _CancellationBody(msgspec.Struct, gc=False):
    customer_id: str
    cancellation_date: date
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)] | None = None


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
            try:
                return self._usual(record, value)
            except msgspec.ValidationError:  # spelled otherwise; or an event whose content type does not say so
                value = _inside(record, value)
                return self._message(record, value)
        except FieldRefused as refused:
            return Rejected(refused.reason, str(refused), _customer_id_in(value))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return Rejected(Reason.MALFORMED, _what_is_wrong(error))

    def _usual(self, record: Record, value: bytes) -> Message:
        """The message in its usual spelling. Raises `msgspec.ValidationError` for any other."""
        if record.topic == self._signup_topic:
            signup = _decode_signup(value)
            customer_id, mrr = customer_id_from(signup.customer_id), mrr_from(signup.mrr.amount)
            return Signup(customer_id, signup.industry, signup.plan_tier, signup.signup_date, mrr)
        said = _decode_cancellation(value)
        return Cancellation(customer_id_from(said.customer_id), said.cancellation_date, said.reason, record)

    def _message(self, record: Record, value: bytes) -> Message:
        """The message in whatever spelling is accepted. Raises `FieldRefused`."""
        fields = _members(value)
        return _signup_from(fields) if record.topic == self._signup_topic else _cancellation_from(fields, record)


def _inside(record: Record, value: bytes) -> bytes:
    """The data of a structured event that no content type announces; any other value as it is."""
    is_whole = value is record.value
    return cloudevents.payload(value) if is_whole and cloudevents.is_unannounced(record) else value


def _what_is_wrong(error: Exception) -> str:
    if isinstance(error, cloudevents.EnvelopeError):
        return str(error)
    if isinstance(error, UnicodeDecodeError):
        return "the value is not UTF-8"
    if isinstance(error, RecursionError):
        return "the value is nested too deep"
    return "the value is not a JSON object"


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
    customer_id = customer_id_from(_required(fields, "customer_id"))
    industry = industry_from(_required(fields, "industry"))
    plan_tier = plan_tier_from(_required(fields, "plan_tier"))
    signup_date = date_from("signup_date", _required(fields, "signup_date"))
    mrr = _mrr_from(_required(fields, "mrr"))
    return Signup(customer_id, industry or Industry.OTHER, plan_tier, signup_date, mrr, industry is not None)


def _mrr_from(mrr: Any) -> MRR:
    if isinstance(mrr, bytes) and mrr.startswith(b"{"):
        money = _members(mrr)
        currency = text_from("mrr.currency", _required(money, "currency", "mrr.currency"))
        mrr = _required(money, "amount", "mrr.amount")
        if currency != "USD":
            refuse("the currency of mrr is not USD", Reason.UNSUPPORTED_CURRENCY)
    return mrr_from(mrr)


def _cancellation_from(fields: dict[str, Any], record: Record) -> Cancellation:
    customer_id = customer_id_from(_required(fields, "customer_id"))
    cancellation_date = date_from("cancellation_date", _required(fields, "cancellation_date"))
    return Cancellation(customer_id, cancellation_date, reason_from(fields.get("reason")), record)


def _required(fields: dict[str, Any], name: str, path: str | None = None) -> Any:
    if name not in fields:
        refuse(f"{path or name} is missing")
    return fields[name]


def _customer_id_in(value: bytes) -> str | None:
    """Whom a refused message is about, where that much can be read."""
    try:
        return customer_id_from(_members(value).get("customer_id"))
    except (FieldRefused, msgspec.DecodeError, ValueError, RecursionError):
        return None


def stated_mrr(record: Record) -> MRR | None:
    """The MRR that a refused signup states, where that much can be read. Raises nothing for whatever a record holds."""
    value = record.value or b""
    try:
        value = cloudevents.payload(value) if cloudevents.is_structured(record) else _inside(record, value)
        return _mrr_from(_members(value).get("mrr"))
    except (FieldRefused, msgspec.DecodeError, ValueError, RecursionError):
        return None


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
    whole, _, decimals = f"{amount:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
