"""Outcomes of a record. Expected outcomes are values; exceptions are for unexpected failures."""

from __future__ import annotations

import msgspec

from domain.customer import CustomerChurned
from worker.messages.rejection import Rejected


class Applied(msgspec.Struct, frozen=True, gc=False):
    """Outcome of a record that changed a customer; `event` is the event to be published, if any."""

    event: CustomerChurned | None = None
    name = "applied"


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """Outcome of a record that repeats what is stored already."""

    name = "duplicate"


class Parked(msgspec.Struct, frozen=True, gc=False):
    """Outcome of a cancellation received before its customer's signup, and kept until then."""

    name = "parked"


Outcome = Applied | Duplicate | Parked | Rejected

APPLIED = Applied()
DUPLICATE = Duplicate()
PARKED = Parked()
