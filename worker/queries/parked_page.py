"""Parked cancellations by age, for the operations page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from worker.queries.parked import ParkedList, ParkedQuery, list_parked
from worker.queries.query import Query
from worker.settings import Settings
from worker.stores.arr_at_stake import sources
from worker.stores.reading import StoreView

AGES = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30))
"""Ages that divide the parked cancellations."""


class ParkedPageQuery(msgspec.Struct, frozen=True):
    """Selection of at most so many customers, longest waiting first."""

    at_most: int


class AgeGroup(msgspec.Struct, frozen=True):
    """Cancellations of customers whose first was parked this long ago: at least `from_age`, and less than `to_age`.

    Ages are in seconds, `to_age` is None for the oldest.
    """

    from_age: float
    to_age: float | None
    records: int
    customers: int


class ParkedPage(msgspec.Struct, frozen=True):
    """Customers with parked cancellations, and all of them by age, the oldest last.

    `with_letter` has the listed customers whose signup is an unsettled dead letter.
    """

    parked: ParkedList
    ages: list[AgeGroup]
    with_letter: list[str]


def _page(view: StoreView, settings: Settings, query: ParkedPageQuery) -> ParkedPage:
    found = list_parked(view, settings, ParkedQuery(query.at_most))
    signup, listed = settings.topics.signup, {customer.customer_id for customer in found.customers}
    with_letter: set[str] = set()
    if listed:
        letters = view.waiting_letters(sources(settings.topics))
        with_letter = {each.customer_id for each in letters if each.customer_id and each.topic == signup}
    return ParkedPage(found, _by_age(view), sorted(with_letter & listed))


def _by_age(view: StoreView) -> list[AgeGroup]:
    now = datetime.now(UTC)
    limits = [timedelta(0), *AGES]
    older = [view.parked_totals(now - limit if limit else None) for limit in limits]
    groups = []
    for place, (limit, totals) in enumerate(zip(limits, older, strict=True)):
        is_oldest = place + 1 == len(limits)
        beyond = None if is_oldest else older[place + 1]
        groups.append(
            AgeGroup(
                limit.total_seconds(),
                None if is_oldest else limits[place + 1].total_seconds(),
                totals.records - (beyond.records if beyond else 0),
                totals.customers - (beyond.customers if beyond else 0),
            )
        )
    return groups


PARKED_PAGE = Query("parked-page", ParkedPageQuery, ParkedPage, _page)
