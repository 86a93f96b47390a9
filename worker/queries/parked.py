"""Parked cancellations, by customer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime

import msgspec

from worker.messages.inbound import Decoder
from worker.messages.message import Cancellation
from worker.messages.record import coordinates
from worker.settings import Settings
from worker.stores.reading import ParkedSince, ParkedTotals, StoreView

MOST_CUSTOMERS = 10_000
"""Customers in one result, at most."""


class ParkedQuery(msgspec.Struct, frozen=True):
    """Selection of at most so many customers with a cancellation parked before a moment."""

    at_most: int
    before: datetime | None = None


class ParkedCancellation(msgspec.Struct, frozen=True):
    """A cancellation, as `topic/partition/offset`, and its date, None if it can no longer be decoded."""

    coordinates: str
    parked_at: datetime
    cancellation_date: date | None


class WaitingCustomer(msgspec.Struct, frozen=True):
    """A customer without a signup, and the cancellations in the order of their arrival."""

    customer_id: str
    cancellations: list[ParkedCancellation]

    @property
    def since(self) -> datetime:
        """Time when the first was parked."""
        return self.cancellations[0].parked_at


class ParkedList(msgspec.Struct, frozen=True):
    """Customers, longest waiting first, and the totals of all that were selected."""

    customers: list[WaitingCustomer]
    totals: ParkedTotals


def list_parked(view: StoreView, settings: Settings, query: ParkedQuery) -> ParkedList:
    """List the customers whose cancellations are parked."""
    waiting: dict[str, list[ParkedSince]] = defaultdict(list)
    for each in view.parked(before=query.before, customers=min(query.at_most, MOST_CUSTOMERS)):
        waiting[each.customer_id].append(each)
    customers = [
        WaitingCustomer(customer_id, parked_cancellations(those, settings)) for customer_id, those in waiting.items()
    ]
    return ParkedList(customers, view.parked_totals(query.before))


def parked_cancellations(waiting: Iterable[ParkedSince], settings: Settings) -> list[ParkedCancellation]:
    """Decode parked cancellations."""
    # A framed record is parked only if the settings accepted it then.
    decode = Decoder(settings.topics.signup, settings.batch.max_value_bytes, accept_framed=True).decode
    return [
        ParkedCancellation(
            coordinates(record),
            parked_at,
            message.cancellation_date if isinstance(message := decode(record), Cancellation) else None,
        )
        for _, record, parked_at in waiting
    ]
