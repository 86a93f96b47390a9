"""`customer.churned` on the wire: id, key, headers and value of the event."""

from __future__ import annotations

import uuid
from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from domain.customer import CustomerChurned, Industry, PlanTier
from worker.messages.encoded_headers import encode
from worker.messages.outgoing import Outgoing
from worker.messages.uuid_fast_path import uuid5

EVENT_TYPE = b"customer.churned"
DATASCHEMA = b"urn:customer-worker:schema:customer.churned:1"
# The namespace of event ids. A change would give every churn a second id, and so publish every event again.
_CHURNS = uuid.UUID("5b0c6a52-9d1e-5f6b-8f6a-2c1d7f0e4a11").bytes


def churned_id(customer_id: str) -> str:
    """Return the event id of a customer's churn: UUIDv5 of the customer id alone, as a customer churns once.

    Attributes that can differ between two readings of the same topics (a date, a partition, a clock) are not part of
    the id, so a store rebuilt from nothing recognises its published events.
    """
    return uuid5(_CHURNS, customer_id)


class Envelope:
    """The headers common to all events, encoded. They are not stored in the outbox: they would be half of each row."""

    def __init__(self, source: str) -> None:
        self.common: bytes = encode(
            [
                ("ce_specversion", b"1.0"),
                ("ce_source", source.encode()),
                ("ce_type", EVENT_TYPE),
                ("ce_dataschema", DATASCHEMA),
                ("content-type", b"application/json"),
            ]
        )


def customer_key(event: Outgoing) -> bytes:
    """Return the key of an event."""
    return (event.customer_id or "").encode()


class Money(msgspec.Struct, gc=False):
    """An amount of money: a decimal in text, and its currency."""

    amount: str
    currency: Literal["USD"]


class Churned(msgspec.Struct, frozen=True, gc=False):
    """The value of a `customer.churned` record."""

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
    """Encode the event as JSON."""
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
    """Format an amount with two decimals, and more only if it has them."""
    text = f"{amount:f}"
    if text[-7:-6] == "." and text.endswith("0000"):  # the usual amount from a store
        return text[:-4]
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
