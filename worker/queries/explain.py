"""History of one customer in the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

import msgspec

from domain.customer import Customer, Industry, PlanTier
from worker.messages.churned_event import shown
from worker.messages.uuid_fast_path import is_canonical_uuid
from worker.queries.dead_letters import described
from worker.queries.parked import ParkedCancellation, parked_cancellations
from worker.settings import Settings
from worker.stores.changes import RecordCoordinates
from worker.stores.dead_letters import Filters, Letter
from worker.stores.reading import Decision, StoreView


class ExplainQuery(msgspec.Struct, frozen=True):
    """Selection of a customer; the id is in lower case."""

    customer_id: str

    def __post_init__(self) -> None:
        if not is_canonical_uuid(self.customer_id):
            raise ValueError("customer_id is not a UUID of the form 8-4-4-4-12 in lower case")


class CustomerNow(msgspec.Struct, frozen=True):
    """Current state of a customer. `mrr` and `arr` are in US dollars, per month and per year."""

    industry: Industry
    plan_tier: PlanTier
    signup_date: date
    churn_date: date | None
    tenure_days: int
    mrr: Decimal
    arr: Decimal


class ExplainedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision about a record, and its cause. `event_id` is the event that it led to, if any.

    `is_published` is True if that event is known as published; `letter_state` is the state of a dead letter.
    """

    at: datetime
    topic: str
    partition: int
    offset: int
    outcome: str
    reason: str | None = None
    why: str
    letter_state: str | None = None
    event_id: str | None = None
    is_published: bool = False

    @property
    def coordinates(self) -> RecordCoordinates:
        """Topic, partition and offset of the record."""
        return RecordCoordinates(self.topic, self.partition, self.offset)


class CustomerHistory(msgspec.Struct, frozen=True):
    """Current state, parked cancellations, and each decision in the order it was made."""

    customer_id: str
    customer: CustomerNow | None
    waiting: list[ParkedCancellation]
    steps: list[ExplainedDecision]

    @property
    def is_empty(self) -> bool:
        """Whether no record of this customer was decided."""
        return self.customer is None and not self.waiting and not self.steps


def customer_history(view: StoreView, settings: Settings, query: ExplainQuery) -> CustomerHistory:
    """Read the history from the store. The records themselves are on their topics."""
    customer = view.customer(query.customer_id)
    decisions = view.decisions(query.customer_id)
    letters = {
        (letter.topic, letter.partition, letter.offset): letter
        for letter in described(view, settings, Filters(customer=query.customer_id))
    }
    published = view.published([decision.event_id for decision in decisions if decision.event_id])
    return CustomerHistory(
        query.customer_id,
        None if customer is None else _now(customer),
        parked_cancellations(view.parked(customer_id=query.customer_id), settings),
        [_step(decision, letters, published, settings) for decision in decisions],
    )


def _now(customer: Customer) -> CustomerNow:
    return CustomerNow(
        customer.industry,
        customer.plan_tier,
        customer.signup_date,
        customer.churn_date,
        customer.tenure_days,
        Decimal(shown(customer.mrr.amount)),
        customer.mrr.annual,
    )


def _step(
    decision: Decision,
    letters: Mapping[tuple[str, int, int], Letter],
    published: Mapping[str, bool],
    settings: Settings,
) -> ExplainedDecision:
    letter = letters.get((decision.topic, decision.partition, decision.offset))
    is_refused = decision.outcome == "rejected"
    why = letter.message if is_refused and letter else _WHY[decision.outcome, decision.topic == settings.topics.signup]
    return ExplainedDecision(
        at=decision.at,
        topic=decision.topic,
        partition=decision.partition,
        offset=decision.offset,
        outcome=decision.outcome,
        reason=decision.reason,
        why=why,
        letter_state=letter.state.value if is_refused and letter else None,
        event_id=decision.event_id,
        is_published=published.get(decision.event_id or "", False),
    )


_WHY: dict[tuple[str, bool], str] = {
    ("applied", True): "new customer",
    ("applied", False): "the customer churned",
    ("duplicate", True): "the customer signed up before, with the same terms",
    ("duplicate", False): "the customer had already churned on that date",
    ("parked", False): "no signup of the customer was received before",
}
