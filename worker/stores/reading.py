"""The port to reading a store while its worker runs: a snapshot, which does not change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from domain.customer import Customer
from worker.messages.record import Record, TopicPartition
from worker.stores.churn_groups import ChurnGroup, GroupBy
from worker.stores.churns import ChurnPair, PublishedPosition, StoreDays
from worker.stores.dead_letters import Filters, StoredLetter, StoredRecord, WaitingLetter
from worker.stores.public_tables import PublicTable, TableStream


class Decision(msgspec.Struct, frozen=True):
    """A row of the journal: the decision about the record at these coordinates, and its time."""

    at: datetime
    topic: str
    partition: int
    offset: int
    outcome: str
    reason: str | None
    event_id: str | None


class ParkedSince(NamedTuple):
    """A parked cancellation, and the time when it was parked."""

    customer_id: str
    record: Record
    parked_at: datetime


class ParkedTotals(msgspec.Struct, frozen=True):
    """Numbers of parked cancellations and their customers, and the time of the oldest, None if there is none."""

    records: int
    customers: int
    since: datetime | None


class StoreTotals(msgspec.Struct, frozen=True):
    """Totals of the store. `pending_since` is None if nothing is pending, `size_bytes` if there is no file.

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
    """The backlog of the store: parked records, and rows of the outbox that are not known as published.

    Times are those of the oldest, None if there is none.
    """

    parked: int
    parked_since: datetime | None
    pending: int
    pending_since: datetime | None


class AtStake(NamedTuple):
    """Number of unsettled dead letters, and their ARR at stake in dollars (`dead_letters.arr_at_stake`).

    `since` is the time of the oldest rejection, None if there is none.
    """

    letters: int
    arr: Decimal
    since: datetime | None = None


class StoreView(ABC):
    """A snapshot of a store, read while its worker runs. One thread at a time.

    Every method raises `StoreError` if the database fails, and if the query is interrupted.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def totals(self) -> StoreTotals:
        """Return the totals of the store."""

    @abstractmethod
    def positions(self) -> Mapping[TopicPartition, int]:
        """Return the next offset of each input partition ever read."""

    @abstractmethod
    def customer(self, customer_id: str) -> Customer | None:
        """Return the customer, None if there is none."""

    @abstractmethod
    def decisions(self, customer_id: str) -> Sequence[Decision]:
        """Return the decisions about this customer's records, in order."""

    @abstractmethod
    def published(self, event_ids: Sequence[str]) -> Mapping[str, bool]:
        """Return for each of these events that is in the outbox whether it is known as published."""

    @abstractmethod
    def parked_totals(self, before: datetime | None = None) -> ParkedTotals:
        """Return the numbers of parked records; with `before`, of customers whose first was parked before then."""

    @abstractmethod
    def parked(
        self, *, customer_id: str | None = None, before: datetime | None = None, customers: int | None = None
    ) -> Sequence[ParkedSince]:
        """Return parked cancellations in the order of their arrival: of one customer, or of the longest waiting ones.

        `before` is as above, `customers` the maximum number of customers.
        """

    @abstractmethod
    def dead_letters(self, sources: Mapping[str, str], filters: Filters) -> list[StoredLetter]:
        """Return the selected dead letters in the order they were written; `sources` has the source of each topic."""

    @abstractmethod
    def letter_records(
        self, seqs: Sequence[int], *, up_to_bytes: int, largest_value: int | None = None
    ) -> list[StoredRecord]:
        """Return the records of these rows, in order: up to `up_to_bytes` of values and headers, at least one.

        Values over `largest_value` bytes are omitted.
        """

    @abstractmethod
    def published_up_to(self, topic: str) -> PublishedPosition:
        """Return the published position of the outbox and of this output topic."""

    @abstractmethod
    def churn_days(
        self, topic: str, published_seq: int, since: date, until: date, *, pending_at_most: int
    ) -> StoreDays:
        """Return each day from `since` to `until`: churned customers, and events for this topic.

        Rows of the outbox after `published_seq` count as pending, unless their receipt was found.
        """

    @abstractmethod
    def churn_pairs(self, topic: str, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
        """Return each customer who churned on one of these days, by the customer or by the event."""

    @abstractmethod
    def churn_groups(self, by: GroupBy, since: date | None, until: date | None) -> list[ChurnGroup]:
        """Return the customers who churned from `since` to `until`, in groups ordered by their keys."""

    @abstractmethod
    def stream(self, table: PublicTable, columns: Sequence[str], as_of: datetime | None = None) -> TableStream:
        """Stream these columns of all rows of a table; with `as_of`, of its state at that time by the journal."""

    @abstractmethod
    def waiting(self) -> Waiting:
        """Return the backlog. The query is cheap enough to be repeated often."""

    @abstractmethod
    def waiting_letters(self, sources: Mapping[str, str]) -> list[WaitingLetter]:
        """Return the unsettled dead letters; `sources` has the source of each dead letter topic."""

    def leader(self) -> str | None:
        """Return the leader, the worker that publishes; None if there is none, or the store is single-process."""
        return None

    def when_ended(self, close: Callable[[], object]) -> None:  # noqa: B027 - nothing else ends some views
        """Have `close` called, from any thread, when the store ends the view.

        It has to close the view soon, also between two batches of a stream.
        """

    @abstractmethod
    def size_bytes(self) -> int | None:
        """Return the size of the store's files; None if there are none."""

    @abstractmethod
    def interrupt(self) -> None:
        """Make the current call raise `StoreError`. May be called from any thread."""

    @abstractmethod
    def close(self) -> None:
        """Close the view."""
