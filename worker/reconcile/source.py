"""Store side of a reconciliation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from typing_extensions import override

from worker.queries.churns import CHURN_DAYS, CHURN_PAIRS, PUBLISHED_POSITION, ChurnDaysQuery, ChurnPairsQuery
from worker.queries.client import run_query
from worker.queries.query import NoParameters
from worker.settings import Settings
from worker.stores.churns import ChurnPair, PublishedPosition, StoreDays


class ReconcileSource(Protocol):
    """Churns in the store. Outbox rows after `published_seq` are pending, unless a receipt was found."""

    async def published_position(self) -> PublishedPosition:
        """Return the position up to which the store has published."""

    async def days(self, published_seq: int, since: date, until: date, pending_at_most: int) -> StoreDays:
        """Return each day from `since` to `until`, and at most `pending_at_most` pending events."""

    async def pairs(self, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
        """Return each customer who churned on one of these days, by the customer or by the event."""


class RemoteReconcileSource(ReconcileSource):
    """The running worker, or the store if no worker runs. Methods raise `Refusal` if neither can be read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @override
    async def published_position(self) -> PublishedPosition:
        return await run_query(self._settings, PUBLISHED_POSITION, NoParameters())

    @override
    async def days(self, published_seq: int, since: date, until: date, pending_at_most: int) -> StoreDays:
        return await run_query(self._settings, CHURN_DAYS, ChurnDaysQuery(published_seq, since, until, pending_at_most))

    @override
    async def pairs(self, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
        return await run_query(self._settings, CHURN_PAIRS, ChurnPairsQuery(published_seq, list(days)))
