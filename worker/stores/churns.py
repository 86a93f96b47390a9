"""Who left, on which day, and with what: as customers, as events to be published, and as events on their topic."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from typing import Protocol

import msgspec

_FINGERPRINTS = 2**63  # JSON's numbers end there for most who read it


class Churn(msgspec.Struct, frozen=True, gc=False):
    """One customer's leaving. `lost_arr` is in dollars a year."""

    customer_id: str
    day: date
    lost_arr: Decimal


class Sum(msgspec.Struct, frozen=True, gc=False):
    """Churns added up: how many, their ARR, and a fingerprint that says whether two sums are of the same churns."""

    count: int = 0
    lost_arr: Decimal = Decimal("0.00")
    fingerprint: int = 0

    def __add__(self, other: Sum) -> Sum:
        fingerprint = (self.fingerprint + other.fingerprint) % _FINGERPRINTS
        return Sum(self.count + other.count, self.lost_arr + other.lost_arr, fingerprint)

    def __sub__(self, other: Sum) -> Sum:
        fingerprint = (self.fingerprint - other.fingerprint) % _FINGERPRINTS
        return Sum(self.count - other.count, self.lost_arr - other.lost_arr, fingerprint)


class ChurnDay(msgspec.Struct, frozen=True):
    """One day in the store: its churned customers, and its events by whether they are surely on their topic."""

    day: date
    customers: Sum = Sum()
    published: Sum = Sum()
    pending: Sum = Sum()


class PendingChurn(msgspec.Struct, frozen=True):
    """An event that may not be on its topic yet, and what it adds to its day."""

    customer_id: str
    day: date
    adds: Sum


class ChurnPair(msgspec.Struct, frozen=True):
    """One customer in the store: when and with what they left, as a customer and as an event; None where there is none.

    `is_published` says whether the event is surely on its topic.
    """

    customer_id: str
    as_customer: Churn | None
    as_event: Churn | None
    is_published: bool


class PublishedPosition(msgspec.Struct, frozen=True):
    """How far the store had published: its outbox up to a row, each partition of `customer.churned` up to an end.

    Fingerprints are comparable with those of `fingerprinted_by` only.
    """

    published_seq: int
    ends: dict[str, int]
    fingerprinted_by: str


class StoreDays(msgspec.Struct, frozen=True):
    """The store's account of each day, the first events that may not be published yet, and receipts without a row."""

    days: list[ChurnDay]
    pending: list[PendingChurn]
    receipts: int


class TopicDays(msgspec.Struct, frozen=True):
    """What records say: the sum of each day, the customers of the last records, and which records are no events."""

    days: dict[date, Sum]
    recent: list[str]
    strangers: list[int]


class ValueReader(Protocol):
    """What the values of records say, read and added up as the store does it with its own."""

    @property
    def fingerprinted_by(self) -> str:
        """With whose fingerprints its own are comparable."""

    def days(self, values: Sequence[bytes | None], recent_from: int) -> TopicDays:
        """Each day; recent are the values at `recent_from` and after it."""

    def churns(self, values: Sequence[bytes | None], among: AbstractSet[str] | None = None) -> list[tuple[int, Churn]]:
        """One by one with the index of each, in order, without those that are no events.

        With `among`, those of these customers alone.
        """

    def sums(self, churns: Sequence[Churn]) -> dict[date, Sum]:
        """Add up churns by day, as `days` does with values."""
