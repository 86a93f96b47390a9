"""Report of a reconciliation."""

from __future__ import annotations

from datetime import date

import msgspec

from worker.stores.churns import Churn, Sum
from worker.stores.erasure import IneffectiveTombstone


class DayTotals(msgspec.Struct, frozen=True):
    """Totals of a day, or of all days: churned customers, events in the outbox, events on the topic.

    `pending` has those of `events` that are not published yet, `erased` those that a tombstone on the topic erased.
    """

    customers: Sum = Sum()
    events: Sum = Sum()
    pending: Sum = Sum()
    topic: Sum = Sum()
    erased: Sum = Sum()

    def __add__(self, other: DayTotals) -> DayTotals:
        return DayTotals(
            self.customers + other.customers,
            self.events + other.events,
            self.pending + other.pending,
            self.topic + other.topic,
            self.erased + other.erased,
        )

    @property
    def are_equal(self) -> bool:
        """Whether the three are equal, apart from pending and erased events."""
        return self.customers == self.events == self.topic + self.pending + self.erased


class Difference(msgspec.Struct, frozen=True):
    """A customer whose records differ: `what` describes the difference, the others are the records compared."""

    customer_id: str
    what: str
    customer: Churn | None
    event: Churn | None
    topic: list[Churn]


class Report(msgspec.Struct, frozen=True):
    """The result: each day and each difference. `unrecognised` has coordinates of records that are no events.

    `receipts` counts events on the topic without a row in the outbox yet (the store is being rebuilt), `read_before`
    events that were read by an earlier command and not read again. `tombstones` counts customers with a tombstone on
    the topic; `ineffective` names the tombstones whose event is on the topic all the same.
    """

    days: dict[date, DayTotals]
    differences: list[Difference]
    unrecognised: list[str]
    receipts: int
    read_before: int
    tombstones: int = 0
    ineffective: list[IneffectiveTombstone] = []

    @property
    def total(self) -> DayTotals:
        """Sum of the days."""
        return sum(self.days.values(), DayTotals())

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs."""
        found = self.differences or self.unrecognised or self.ineffective
        return not found and all(day.are_equal for day in self.days.values())
