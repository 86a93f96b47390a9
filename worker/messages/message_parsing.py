"""Parsing of signups and cancellations in every spelling that the contract accepts. The rules of a field: `validation`.

Source of every rule: docs/contract.md.
"""

from __future__ import annotations

from typing import Any

import msgspec

from domain.customer import MRR, Industry
from worker.messages import cloudevents
from worker.messages.message import Cancellation, Origin, Signup
from worker.messages.record import Record
from worker.messages.rejection import Reason
from worker.messages.validation import (
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


def parse_signup(value: bytes, origin: Origin) -> Signup:
    """Parse a JSON object. Raises `FieldRefused`, or `msgspec.DecodeError` if the value is not a JSON object."""
    fields = _members(value)
    customer_id = customer_id_from(_required(fields, "customer_id"))
    industry = industry_from(_required(fields, "industry"))
    plan_tier = plan_tier_from(_required(fields, "plan_tier"))
    signup_date = date_from("signup_date", _required(fields, "signup_date"))
    mrr = _mrr_from(_required(fields, "mrr"))
    return Signup(*origin, customer_id, industry or Industry.OTHER, plan_tier, signup_date, mrr, industry is not None)


def _mrr_from(mrr: Any) -> MRR:
    if isinstance(mrr, bytes) and mrr.startswith(b"{"):
        money = _members(mrr)
        currency = text_from("mrr.currency", _required(money, "currency", "mrr.currency"))
        mrr = _required(money, "amount", "mrr.amount")
        if currency != "USD":
            refuse("the currency of mrr is not USD", Reason.UNSUPPORTED_CURRENCY)
    return mrr_from(mrr)


def parse_cancellation(value: bytes, origin: Origin, record: Record) -> Cancellation:
    """Parse a JSON object that `record` holds. Raises as `parse_signup` does."""
    fields = _members(value)
    customer_id = customer_id_from(_required(fields, "customer_id"))
    cancellation_date = date_from("cancellation_date", _required(fields, "cancellation_date"))
    reason = reason_from(fields.get("reason"))
    return Cancellation(
        *origin,
        customer_id,
        cancellation_date,
        reason,
        record.timestamp,
        cloudevents.caused_by(record, record.topic_partition),
    )


def _required(fields: dict[str, Any], name: str, path: str | None = None) -> Any:
    if name not in fields:
        refuse(f"{path or name} is missing")
    return fields[name]


def parse_customer_id(value: bytes) -> str:
    """Parse the customer id alone. Raises as `parse_signup` does."""
    return customer_id_from(_members(value).get("customer_id"))


def parse_mrr(value: bytes) -> MRR:
    """Parse the MRR alone. Raises as `parse_signup` does."""
    return _mrr_from(_members(value).get("mrr"))


_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def _members(value: bytes) -> dict[str, Any]:
    """Return the members of a JSON object: text as `str`, a number as `JsonNumber`, null as None, others undecoded.

    Unused members are not decoded: a number too large for Python is no error there.
    """
    return {name: _member(bytes(raw)) for name, raw in _decode_members(value).items()}


def _member(token: bytes) -> Any:
    if token[:1] == b'"':
        return _decode_text(token)
    if token[:1] in b"-0123456789":
        return JsonNumber(token.decode())
    return None if token == b"null" else token
