"""What a replay came to, or would come to."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.customer import Customer
from worker.messages.churned_event import shown
from worker.replay.selection import Range
from worker.stores.port import Changes


class Emit(StrEnum):
    """What happens to the events and dead letters that come of a replay: sent, or counted as sent."""

    ALL = "all"
    NONE = "none"


class CustomerState(msgspec.Struct, frozen=True, gc=False):
    """What of a customer a replay can change. `mrr` is in dollars a month."""

    plan_tier: str
    mrr: Decimal
    churn_date: date | None


class CustomerChange(msgspec.Struct, frozen=True, gc=False):
    """One customer, before and after; `before` is None for one who was not there."""

    customer_id: str
    before: CustomerState | None
    after: CustomerState


class Report(msgspec.Struct):
    """Everything there is to say of a replay; of one that was interrupted, up to there.

    `read` records were read, of which `taken` are about the customer that was asked for, or all. `outcomes` is what
    the handlers made of those and `rejected` why they refused some; a duplicate or a rejection that is read again
    says nothing new. `unparked` and `unparked_rejected` say the same of cancellations that had waited for a signup.
    `events` and `dead_letters` are those not on their topics yet: to be sent, or held back with `emit` none. `waiting`
    are records that wait in the outbox: before, and (of a replay that was executed) after. ARR is in dollars a year.
    """

    executed: bool
    emit: Emit
    interrupted: bool = False
    ranges: list[Range] = []
    read: int = 0
    taken: int = 0
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    rejected: Counter[str] = msgspec.field(default_factory=Counter)
    unparked: Counter[str] = msgspec.field(default_factory=Counter)
    unparked_rejected: Counter[str] = msgspec.field(default_factory=Counter)
    changes: dict[str, CustomerChange] = {}
    events: int = 0
    dead_letters: int = 0
    waiting_before: int = 0
    waiting_after: int | None = None
    lost_arr_before: Decimal = Decimal("0.00")
    lost_arr_after: Decimal = Decimal("0.00")
    seconds: float = 0.0

    @property
    def gone(self) -> int:
        """How many offsets asked for are no longer in the logs."""
        return sum(each.gone for each in self.ranges)

    @property
    def left(self) -> int:
        """How many offsets asked for the worker has yet to decide."""
        return sum(each.left for each in self.ranges)

    @property
    def changes_nothing(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.changes or self.events or self.dead_letters or self.outcomes["parked"] or self.unparked)

    def add_changes(self, changes: Changes) -> None:
        """Count a committed batch's customers; who changes twice is told once."""
        for customer in changes.new_customers.values():
            self._add(customer, before=None)
        for customer in changes.changed_customers.values():
            state = _state(customer)
            self._add(customer, before=msgspec.structs.replace(state, churn_date=None))  # churning is the one change

    def _add(self, customer: Customer, before: CustomerState | None) -> None:
        earlier = self.changes.get(customer.customer_id)
        self.changes[customer.customer_id] = CustomerChange(
            customer.customer_id, earlier.before if earlier else before, _state(customer)
        )


def _state(customer: Customer) -> CustomerState:
    return CustomerState(customer.plan_tier.value, Decimal(shown(customer.mrr.amount)), customer.churn_date)
