"""Cancellations that wait for their customer's signup."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime

import msgspec

from worker.messages.inbound import Cancellation, Decoder
from worker.messages.record import coordinates
from worker.settings import Settings
from worker.stores.reading import ParkedSince, ParkedTotals, StoreView

MOST_CUSTOMERS = 10_000
"""How many are named in one answer."""


class ParkedQuery(msgspec.Struct, frozen=True):
    """Which customers are meant: at most so many, and of those for whom the first was parked before a moment."""

    at_most: int
    before: datetime | None = None


class ParkedCancellation(msgspec.Struct, frozen=True):
    """One cancellation, as `topic/partition/offset`; the date it states, None where that cannot be read any more."""

    coordinates: str
    parked_at: datetime
    cancellation_date: date | None


class WaitingCustomer(msgspec.Struct, frozen=True):
    """A customer whose cancellations came before any signup, in the order they came."""

    customer_id: str
    cancellations: list[ParkedCancellation]

    @property
    def since(self) -> datetime:
        """When the first was parked."""
        return self.cancellations[0].parked_at


class ParkedList(msgspec.Struct, frozen=True):
    """Customers, who has waited longest first, and the totals of all that were meant."""

    customers: list[WaitingCustomer]
    totals: ParkedTotals


def list_parked(view: StoreView, settings: Settings, who: ParkedQuery) -> ParkedList:
    """Who waits for a signup."""
    waiting: dict[str, list[ParkedSince]] = defaultdict(list)
    for each in view.parked(before=who.before, customers=min(who.at_most, MOST_CUSTOMERS)):
        waiting[each.customer_id].append(each)
    customers = [
        WaitingCustomer(customer_id, parked_cancellations(those, settings)) for customer_id, those in waiting.items()
    ]
    return ParkedList(customers, view.parked_totals(who.before))


def parked_cancellations(waiting: Iterable[ParkedSince], settings: Settings) -> list[ParkedCancellation]:
    """What is parked, as people ask for it."""
    decode = Decoder(settings.topics.signup, settings.batch.max_value_bytes).decode
    return [
        ParkedCancellation(
            coordinates(record),
            parked_at,
            message.cancellation_date if isinstance(message := decode(record), Cancellation) else None,
        )
        for _, record, parked_at in waiting
    ]
