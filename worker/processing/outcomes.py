"""What a record led to. Expected outcomes are values; an exception is a surprise."""

from __future__ import annotations

import msgspec

from domain.customer import CustomerChurned
from worker.messages.rejection import Rejected


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


Outcome = Applied | Duplicate | Parked | Rejected

APPLIED = Applied()
DUPLICATE = Duplicate()
PARKED = Parked()
