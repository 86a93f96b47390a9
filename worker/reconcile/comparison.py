"""Comparison of churned customers, outbox events and topic events: by day, and for one customer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date

from worker.reconcile.report import DayTotals, Difference
from worker.stores.churns import Churn, ChurnDay, ChurnPair, StoreDays, Sum


def totals_by_day(store: StoreDays, topic: Mapping[date, Sum], recent: AbstractSet[str]) -> dict[date, DayTotals]:
    """Return the totals of each day. Events of `recent` customers are on the topic, and no longer pending."""
    arrived: dict[date, Sum] = defaultdict(Sum)
    for churn in store.pending:
        if churn.customer_id in recent:
            arrived[churn.day] += churn.adds
    stored = {day.day: day for day in store.days}
    days = {}
    for day in sorted({*stored, *topic}):
        kept = stored.get(day) or ChurnDay(day)
        pending = kept.pending - arrived[day]
        days[day] = DayTotals(kept.customers, kept.published + kept.pending, pending, topic.get(day) or Sum())
    return days


def difference_of(
    customer_id: str, pair: ChurnPair | None, topic: list[Churn], *, is_erased: bool
) -> Difference | None:
    """Compare one customer. Returns None if nothing differs."""
    customer = None if pair is None else pair.as_customer
    event = None if pair is None else pair.as_event
    what = [
        *_differences_in_store(customer, event),
        *_differences_on_topic(event, topic, is_due=pair is not None and pair.is_published and not is_erased),
    ]
    return Difference(customer_id, "; ".join(what), customer, event, topic) if what else None


def _differences_in_store(customer: Churn | None, event: Churn | None) -> Iterator[str]:
    if customer is not None and event is None:
        yield "churned, but no event in the outbox"
    if customer is None and event is not None:
        yield "an event in the outbox, but the customer has not churned"
    if customer is not None and event is not None and customer != event:
        yield "the event in the outbox differs from the customer"


def _differences_on_topic(event: Churn | None, topic: Sequence[Churn], *, is_due: bool) -> Iterator[str]:
    if event is not None and not topic and is_due:
        yield "the event was published, but is not on the topic"
    if event is None and topic:
        yield "an event on the topic, but not in the outbox"
    if len(topic) > 1:
        yield f"{len(topic)} events on the topic"
    if event is not None and any(churn != event for churn in topic):
        yield "the event on the topic differs from that in the outbox"
