"""Report of a replay or of its dry run."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.customer import Customer
from worker.messages.churned_event import shown
from worker.processing.dry_run import Decisions
from worker.replay.selection import Range
from worker.stores.changes import Changes


class Emit(StrEnum):
    """Handling of the events and dead letters of a replay: publish them, or count them as published."""

    ALL = "all"
    NONE = "none"


class CustomerState(msgspec.Struct, frozen=True, gc=False):
    """The attributes of a customer that a replay can change. `mrr` is in dollars per month."""

    plan_tier: str
    mrr: Decimal
    churn_date: date | None


class CustomerChange(msgspec.Struct, frozen=True, gc=False):
    """A customer before and after the replay; `before` is None for a new one."""

    customer_id: str
    before: CustomerState | None
    after: CustomerState


class Report(msgspec.Struct):
    """Counts and changes of a replay; of an interrupted one, up to the interruption.

    `read` records were read; `taken` of them are about the selected customer, or all. `outcomes` counts their
    decisions and `rejected` the reasons of rejections; repeated duplicates and rejections have no effect. `unparked`
    and `unparked_rejected` count the decisions about parked cancellations. `events` and `dead_letters` count records
    that are not on their topics yet: they are published, or with `emit` none held back. `waiting_before` and, of an
    executed replay, `waiting_after` count rows of the outbox to be published. ARR is in dollars per year.
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
        """Number of selected offsets that are no longer in the logs."""
        return sum(each.gone for each in self.ranges)

    @property
    def left(self) -> int:
        """Number of selected offsets that the worker has not decided yet."""
        return sum(each.left for each in self.ranges)

    @property
    def changes_nothing(self) -> bool:
        """Whether the records changed nothing."""
        return not (self.changes or self.events or self.dead_letters or self.outcomes["parked"] or self.unparked)

    def add_decisions(self, decided: Decisions, released: Decisions) -> None:
        """Add the decisions about a batch's records, and about the parked records that it released."""
        self.outcomes += _by_outcome(decided)
        self.rejected += _by_reason(decided)
        self.unparked += _by_outcome(released)
        self.unparked_rejected += _by_reason(released)

    def add_changes(self, changes: Changes) -> None:
        """Add the customers of a committed batch. Two changes of one customer become one."""
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


def _by_outcome(decisions: Decisions) -> Counter[str]:
    found: Counter[str] = Counter()
    for (outcome, _), count in decisions.items():
        found[outcome] += count
    return found


def _by_reason(decisions: Decisions) -> Counter[str]:
    return Counter({reason: count for (_, reason), count in decisions.items() if reason})
