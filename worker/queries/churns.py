"""What a store answers about who churned."""

from __future__ import annotations

from datetime import date

import msgspec

from worker.queries.query import NoParameters, Question
from worker.settings import Settings
from worker.stores.churns import ChurnPair, PublishedPosition, StoreDays
from worker.stores.reading import StoreView


class DaysAsked(msgspec.Struct, frozen=True):
    """The days from `since` to `until`, with the outbox published up to a row, and so many pending events at most."""

    published_seq: int
    since: date
    until: date
    pending_at_most: int


class PairsAsked(msgspec.Struct, frozen=True):
    """The customers of these days, with the outbox published up to a row."""

    published_seq: int
    days: list[date]


def _mark(view: StoreView, settings: Settings, _: NoParameters) -> PublishedPosition:
    return view.published_up_to(settings.topics.churned)


def _days(view: StoreView, settings: Settings, asked: DaysAsked) -> StoreDays:
    topic = settings.topics.churned
    return view.churn_days(topic, asked.published_seq, asked.since, asked.until, pending_at_most=asked.pending_at_most)


def _pairs(view: StoreView, settings: Settings, asked: PairsAsked) -> list[ChurnPair]:
    return view.churn_pairs(settings.topics.churned, asked.published_seq, asked.days)


MARK = Question("published-up-to", NoParameters, PublishedPosition, _mark)
DAYS = Question("churn-days", DaysAsked, StoreDays, _days)
PAIRS = Question("churn-pairs", PairsAsked, list[ChurnPair], _pairs)
