"""The usual spelling of a signup and a cancellation, which msgspec validates in C while it parses.

A signup takes 1.2 µs this way, 5.3 µs by `message_parsing`; a cancellation 0.3 and 1.8 µs. Every other spelling, and
whatever is refused, gives None and is left to `message_parsing`. tests/worker/test_fast_path.py holds the two together:
a message made here equals the one made there.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated

import msgspec

from domain.customer import MRR, Industry, PlanTier
from worker.messages.churned_event import Money
from worker.messages.message_parsing import Cancellation, Signup
from worker.messages.record import Record
from worker.messages.uuid_fast_path import is_canonical_uuid
from worker.messages.validation import MAX_REASON_CHARACTERS


class _Signup(msgspec.Struct, gc=False):
    customer_id: str
    industry: Industry
    plan_tier: PlanTier
    signup_date: date
    mrr: Money


class _Cancellation(msgspec.Struct, gc=False):
    customer_id: str
    cancellation_date: date
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)] | None = None


_decode_signup = msgspec.json.Decoder(_Signup).decode
_decode_cancellation = msgspec.json.Decoder(_Cancellation).decode
_is_amount = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?").fullmatch  # within the limits of an MRR by its form


def usual_signup(value: bytes) -> Signup | None:
    """Return the signup, or None for any other spelling or value."""
    try:
        parsed = _decode_signup(value)
    except msgspec.DecodeError:
        return None
    amount = parsed.mrr.amount
    if not is_canonical_uuid(parsed.customer_id) or not _is_amount(amount):
        return None
    return Signup(parsed.customer_id, parsed.industry, parsed.plan_tier, parsed.signup_date, MRR(Decimal(amount)))


def usual_cancellation(value: bytes, record: Record) -> Cancellation | None:
    """Return the cancellation, or None for any other spelling or value."""
    try:
        parsed = _decode_cancellation(value)
    except msgspec.DecodeError:
        return None
    if not is_canonical_uuid(parsed.customer_id):
        return None
    return Cancellation(parsed.customer_id, parsed.cancellation_date, parsed.reason, record)
