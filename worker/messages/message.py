"""Messages decoded from records: Signup, Cancellation, or the refusal of a record.

A message has what the handlers need. It keeps no key, value or headers: the few records that are needed as they were
received (dead letters, parked cancellations) are unpacked again from the message's source.
"""

from __future__ import annotations

from datetime import date

import msgspec

from domain.customer import MRR, Industry, PlanTier
from worker.messages.record import Record, RecordSource
from worker.messages.rejection import Rejected

Origin = tuple[RecordSource, int, int, bool]
"""The fields of `Decoded`."""


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A decoded record: its source, its offset, and the size of its value in bytes.

    With `is_redriven` it claims to be a dead letter sent back to its topic.
    """

    source: RecordSource
    offset: int
    size: int
    is_redriven: bool

    @property
    def topic(self) -> str:
        """Topic of the record."""
        return self.source.topic_partition[0]

    @property
    def partition(self) -> int:
        """Partition of the record."""
        return self.source.topic_partition[1]

    def record(self) -> Record:
        """Return the record as it was received."""
        return self.source.record(self.offset)


class Signup(Decoded, frozen=True, gc=False):
    """A signup, in one form for every spelling of its terms."""

    customer_id: str
    industry: Industry
    plan_tier: PlanTier
    signup_date: date
    mrr: MRR
    is_industry_known: bool = True


class Cancellation(Decoded, frozen=True, gc=False):
    """A cancellation, as billing sent it.

    `timestamp` is its record's, `event_headers` are the encoded headers that its event takes over from it.
    """

    customer_id: str
    cancellation_date: date
    reason: str | None
    timestamp: int
    event_headers: bytes


class Refused(Decoded, frozen=True, gc=False):
    """A record without a valid message."""

    rejected: Rejected

    @property
    def customer_id(self) -> str | None:
        """The customer id in the record, None if it could not be read."""
        return self.rejected.customer_id


Message = Signup | Cancellation | Refused
