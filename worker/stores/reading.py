"""The port to reading a store beside its worker: one state of it, which does not change while it is looked at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from domain.customer import Customer
from worker.messages.record import Record, TopicPartition
from worker.stores.churns import ChurnPair, PublishedPosition, StoreDays
from worker.stores.dead_letters import Filters, StoredLetter, StoredRecord, WaitingLetter


class Decision(msgspec.Struct, frozen=True):
    """One row of the journal: what was decided about the record at these coordinates, and when."""

    at: datetime
    topic: str
    partition: int
    offset: int
    outcome: str
    reason: str | None
    event_id: str | None


class ParkedSince(NamedTuple):
    """A cancellation that waits for its customer's signup, and since when."""

    customer_id: str
    record: Record
    parked_at: datetime


class ParkedTotals(msgspec.Struct, frozen=True):
    """How many cancellations wait for how many customers' signups, and since when; None where none waits."""

    records: int
    customers: int
    since: datetime | None


class StoreTotals(msgspec.Struct, frozen=True):
    """The store in numbers. `pending_since` is None where nothing is pending, `size_bytes` where there is no file.

    `decisions` counts the journal's rows by outcome, `outgoing` the outbox's by topic; `pending` are those of the
    outbox that are not known as published.
    """

    customers: int
    churned: int
    decisions: dict[str, int]
    parked: ParkedTotals
    outgoing: dict[str, int]
    pending: int
    pending_since: datetime | None
    size_bytes: int | None


class Waiting(NamedTuple):
    """What waits in the store: parked records, and rows of the outbox that are not known as published.

    Times are those of the oldest, None where nothing waits.
    """

    parked: int
    parked_since: datetime | None
    pending: int
    pending_since: datetime | None


class AtStake(NamedTuple):
    """The dead letters that are not settled, and the ARR at stake with them in dollars (`letters.arr_at_stake`).

    `since` is when the oldest of them was rejected, None where there is none.
    """

    letters: int
    arr: Decimal
    since: datetime | None = None


class StoreView(ABC):
    """What a store is asked beside its worker. All answers are of one moment. One thread at a time.

    Every method raises `StoreError` when the database fails, and when the question was interrupted.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def totals(self) -> StoreTotals:
        """The store in numbers."""

    @abstractmethod
    def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset to take of each input partition ever seen."""

    @abstractmethod
    def customer(self, customer_id: str) -> Customer | None:
        """The customer as it stands."""

    @abstractmethod
    def decisions(self, customer_id: str) -> Sequence[Decision]:
        """Everything decided about this customer's records, in the order it was decided."""

    @abstractmethod
    def published(self, event_ids: Sequence[str]) -> Mapping[str, bool]:
        """Of the events with these ids that are in the outbox, whether each is known as published."""

    @abstractmethod
    def parked_totals(self, before: datetime | None = None) -> ParkedTotals:
        """What is parked, in numbers: of the customers for whom the first was parked before a moment, if given."""

    @abstractmethod
    def parked(
        self, *, customer_id: str | None = None, before: datetime | None = None, customers: int | None = None
    ) -> Sequence[ParkedSince]:
        """What is parked, in the order it came: of one customer, or of those who have waited longest.

        `before` is as above, `customers` how many of them at most.
        """

    @abstractmethod
    def dead_letters(self, sources: Mapping[str, str], filters: Filters) -> list[StoredLetter]:
        """The dead letters that are meant, in the order they were written; `sources`: which topic each one's serves."""

    @abstractmethod
    def letter_records(
        self, seqs: Sequence[int], *, up_to_bytes: int, largest_value: int | None = None
    ) -> list[StoredRecord]:
        """The records of these rows, in order: as many as have `up_to_bytes` of values and headers, and one at least.

        A value over `largest_value` bytes is left out of its record.
        """

    @abstractmethod
    def published_up_to(self, topic: str) -> PublishedPosition:
        """How far the outbox is published, and this output topic with it."""

    @abstractmethod
    def churn_days(
        self, topic: str, published_seq: int, since: date, until: date, *, pending_at_most: int
    ) -> StoreDays:
        """Who churned, by each day from `since` to `until`, as customers and as events of this topic.

        Rows of the outbox after `published_seq` count as pending, those aside whose receipt was found.
        """

    @abstractmethod
    def churn_pairs(self, topic: str, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
        """Every customer who churned on one of these days, by either account."""

    @abstractmethod
    def waiting(self) -> Waiting:
        """What waits; cheap enough to be asked again and again."""

    @abstractmethod
    def waiting_letters(self, sources: Mapping[str, str]) -> list[WaitingLetter]:
        """The dead letters that are not settled; `sources`: which topic each dead letter topic serves."""

    def leader(self) -> str | None:
        """Who of the store's workers publishes; None where none does, and where a store has one worker at most."""
        return None

    @abstractmethod
    def size_bytes(self) -> int | None:
        """The store's files; None where there are none."""

    @abstractmethod
    def interrupt(self) -> None:
        """Make the call in hand raise `StoreError`; from any thread."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the store."""
