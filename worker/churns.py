"""Who left, on which day, and with what: as customers, as events to be published, and as events on their topic."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from hashlib import md5

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


class ChurnPair(msgspec.Struct, frozen=True):
    """One customer in the store: when and with what they left, as a customer and as an event; None where there is none.

    `is_published` says whether the event is surely on its topic.
    """

    customer_id: str
    as_customer: Churn | None
    as_event: Churn | None
    is_published: bool


class Mark(msgspec.Struct, frozen=True):
    """How far the store had published: its outbox up to a row, each partition of `customer.churned` up to an end."""

    published_seq: int
    ends: dict[str, int]


class StoreDays(msgspec.Struct, frozen=True):
    """The store's account of each day, the first events that may not be published yet, and receipts without a row."""

    days: list[ChurnDay]
    pending: list[Churn]
    receipts: int


def fingerprint(customer_id: str, day: str, lost_arr: str) -> int:
    """One churn's part of a sum's fingerprint; `day` as YYYY-MM-DD, `lost_arr` with two decimals."""
    digest = md5(f"{customer_id}|{day}|{lost_arr}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little")


def added_up(count: int, lost_arr: Decimal, fingerprints: int) -> Sum:
    """The sum of so many churns, whose fingerprints add up to any size."""
    return Sum(count, lost_arr, fingerprints % _FINGERPRINTS)


def sum_of(churn: Churn) -> Sum:
    """The sum of one churn."""
    return added_up(1, churn.lost_arr, fingerprint(churn.customer_id, str(churn.day), str(churn.lost_arr)))
