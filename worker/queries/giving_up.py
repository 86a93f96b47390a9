"""Cancellations whose signup is waited for no longer: which are meant."""

from __future__ import annotations

from datetime import datetime

import msgspec

from worker.messages.record import coordinates
from worker.queries.query import Question
from worker.settings import Settings
from worker.stores.reading import StoreView


class ParkedBefore(msgspec.Struct, frozen=True):
    """What was parked before this moment."""

    moment: datetime


class Waiting(msgspec.Struct, frozen=True):
    """One parked cancellation, as `topic/partition/offset`."""

    coordinates: str
    customer_id: str
    parked_at: datetime


def _waiting(view: StoreView, _: Settings, before: ParkedBefore) -> list[Waiting]:
    return [
        Waiting(coordinates(record), customer_id, parked_at)
        for customer_id, record, parked_at in view.parked(before=before.moment)
        if parked_at < before.moment  # a customer's later ones are none of them
    ]


WAITING_BEFORE = Question("parked-before", ParkedBefore, list[Waiting], _waiting)
