"""Cancellations that were parked before a moment: those that `parked dead-letter` abandons."""

from __future__ import annotations

from datetime import datetime

import msgspec

from worker.messages.record import coordinates
from worker.queries.query import Query
from worker.settings import Settings
from worker.stores.reading import StoreView


class ParkedBefore(msgspec.Struct, frozen=True):
    """Selection of cancellations parked before this moment."""

    moment: datetime


class WaitingCancellation(msgspec.Struct, frozen=True):
    """A parked cancellation, as `topic/partition/offset`."""

    coordinates: str
    customer_id: str
    parked_at: datetime


def _parked_before(view: StoreView, _: Settings, before: ParkedBefore) -> list[WaitingCancellation]:
    return [
        WaitingCancellation(coordinates(record), customer_id, parked_at)
        for customer_id, record, parked_at in view.parked(before=before.moment)
        if parked_at < before.moment  # the view returns all cancellations of a customer, also later ones
    ]


PARKED_BEFORE = Query("parked-before", ParkedBefore, list[WaitingCancellation], _parked_before)
