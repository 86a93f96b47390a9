"""Churns by day: as customers, as events in the outbox, and as events on their topic."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from typing import Protocol

import msgspec

_FINGERPRINTS = 2**63  # the limit of JSON numbers for most parsers


class Churn(msgspec.Struct, frozen=True, gc=False):
    """The churn of one customer. `lost_arr` is in dollars per year."""

    customer_id: str
    day: date
    lost_arr: Decimal


class Sum(msgspec.Struct, frozen=True, gc=False):
    """Sum of churns: their number, their ARR, and a fingerprint, which is equal for sums of the same churns."""

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
    """The churned customers of a day, and its events: published, and possibly unpublished."""

    day: date
    customers: Sum = Sum()
    published: Sum = Sum()
    pending: Sum = Sum()


class PendingChurn(msgspec.Struct, frozen=True):
    """An event that may not be on its topic yet, and its share of its day's sum."""

    customer_id: str
    day: date
    adds: Sum


class ChurnPair(msgspec.Struct, frozen=True):
    """The churn of one customer in the store, by the customer and by the event; None if there is none.

    `is_published` is True if the event is certainly on its topic.
    """

    customer_id: str
    as_customer: Churn | None
    as_event: Churn | None
    is_published: bool


class PublishedPosition(msgspec.Struct, frozen=True):
    """The last published row of the outbox, and the end offset of each partition of `customer.churned` after it.

    Fingerprints are comparable only with those of the same `fingerprinted_by`.
    """

    published_seq: int
    ends: dict[str, int]
    fingerprinted_by: str


class StoreDays(msgspec.Struct, frozen=True):
    """The days in the store, the first events that may not be published yet, and the number of unmatched receipts."""

    days: list[ChurnDay]
    pending: list[PendingChurn]
    receipts: int


class TopicDays(msgspec.Struct, frozen=True):
    """The days on the topic: the sum of each, the customers of recent records, and records that are no events."""

    days: dict[date, Sum]
    recent: list[str]
    strangers: list[int]


class ValueReader(Protocol):
    """Reader of the values of events. It decodes and sums them as the store does with its own events."""

    @property
    def fingerprinted_by(self) -> str:
        """The implementation of the fingerprints; only those of the same implementation are comparable."""

    def days(self, values: Sequence[bytes | None], recent_from: int) -> TopicDays:
        """Return the sums by day; values from the index `recent_from` on are recent."""

    def churns(self, values: Sequence[bytes | None], among: AbstractSet[str] | None = None) -> list[tuple[int, Churn]]:
        """Return each event with its index, in order, without values that are no events.

        With `among`, only events of these customers are returned.
        """

    def sums(self, churns: Sequence[Churn]) -> dict[date, Sum]:
        """Add up churns by day, as `days` does with values."""
