"""Queries about churned customers and their events."""

from __future__ import annotations

from datetime import date

import msgspec

from worker.queries.query import NoParameters, Query
from worker.settings import Settings
from worker.stores.churns import ChurnPair, PublishedPosition, StoreDays
from worker.stores.reading import StoreView


class ChurnDaysQuery(msgspec.Struct, frozen=True):
    """Selection of the days from `since` to `until`. Outbox rows after `published_seq` are pending."""

    published_seq: int
    since: date
    until: date
    pending_at_most: int


class ChurnPairsQuery(msgspec.Struct, frozen=True):
    """Selection of the customers of these days. Outbox rows after `published_seq` are pending."""

    published_seq: int
    days: list[date]


def _published_position(view: StoreView, settings: Settings, _: NoParameters) -> PublishedPosition:
    return view.published_up_to(settings.topics.churned)


def _days(view: StoreView, settings: Settings, query: ChurnDaysQuery) -> StoreDays:
    topic = settings.topics.churned
    return view.churn_days(topic, query.published_seq, query.since, query.until, pending_at_most=query.pending_at_most)


def _pairs(view: StoreView, settings: Settings, query: ChurnPairsQuery) -> list[ChurnPair]:
    return view.churn_pairs(settings.topics.churned, query.published_seq, query.days)


PUBLISHED_POSITION = Query("published-up-to", NoParameters, PublishedPosition, _published_position)
CHURN_DAYS = Query("churn-days", ChurnDaysQuery, StoreDays, _days)
CHURN_PAIRS = Query("churn-pairs", ChurnPairsQuery, list[ChurnPair], _pairs)
