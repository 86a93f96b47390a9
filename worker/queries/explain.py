"""Everything that ever came for one customer, as the store remembers it."""

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
from worker.stores.dead_letters import Filters, Letter
from worker.stores.port import RecordCoordinates
from worker.stores.reading import Decision, StoreView


class ExplainQuery(msgspec.Struct, frozen=True):
    """The customer whose story is told, in lower case."""

    customer_id: str

    def __post_init__(self) -> None:
        if not is_canonical_uuid(self.customer_id):
            raise ValueError("customer_id is not a UUID of the form 8-4-4-4-12 in lower case")


class CustomerNow(msgspec.Struct, frozen=True):
    """A customer as it stands. `mrr` and `arr` are in US dollars, a month and a year."""

    industry: Industry
    plan_tier: PlanTier
    signup_date: date
    churn_date: date | None
    tenure_days: int
    mrr: Decimal
    arr: Decimal


class ExplainedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about one record, and why. `event_id` is the event it brought, if any.

    `is_published` says whether that event is known as published; `letter_state` what became of a rejected record.
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
    def place(self) -> RecordCoordinates:
        """Where the record stood."""
        return RecordCoordinates(self.topic, self.partition, self.offset)


class CustomerHistory(msgspec.Struct, frozen=True):
    """A customer's story: how it stands, what waits for its signup, and each decision in the order it was taken."""

    customer_id: str
    customer: CustomerNow | None
    waiting: list[ParkedCancellation]
    steps: list[ExplainedDecision]

    @property
    def is_empty(self) -> bool:
        """Whether nothing ever came for this customer."""
        return self.customer is None and not self.waiting and not self.steps


def customer_history(view: StoreView, settings: Settings, whose: ExplainQuery) -> CustomerHistory:
    """The story, as far as the store has it: what the records said is on their topics."""
    customer = view.customer(whose.customer_id)
    decisions = view.decisions(whose.customer_id)
    letters = {
        (letter.topic, letter.partition, letter.offset): letter
        for letter in described(view, settings, Filters(customer=whose.customer_id))
    }
    published = view.published([decision.event_id for decision in decisions if decision.event_id])
    return CustomerHistory(
        whose.customer_id,
        None if customer is None else _now(customer),
        parked_cancellations(view.parked(customer_id=whose.customer_id), settings),
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
    ("applied", True): "the customer is new",
    ("applied", False): "the customer left",
    ("duplicate", True): "the customer signed up before, with the same particulars",
    ("duplicate", False): "the customer had left on that day already",
    ("parked", False): "no signup of the customer had come",
}
