"""The port to a database: the changes of a batch, committed in one transaction, and the outbox."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.customer import Customer
from worker.messages.log_identity import LogIdentity, RecordMark
from worker.messages.outgoing import Outgoing
from worker.messages.record import Record, TopicPartition
from worker.stores.reading import StoreView


class RecordCoordinates(NamedTuple):
    """Topic, partition and offset of a record."""

    topic: str
    partition: int
    offset: int


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """A decision. `reason` is that of a rejection, `event_id` the id of the event that the record led to.

    There is one per record: creating a msgspec struct takes 60 ns, a tuple 40 and a NamedTuple 190.
    """

    topic: str
    partition: int
    offset: int
    customer_id: str | None
    outcome: str
    reason: str | None = None
    event_id: str | None = None


class Redrive(NamedTuple):
    """A redriven record: the id of its dead letter, its coordinates, and the SHA-256 of its value."""

    dead_letter_id: str
    topic: str
    partition: int
    offset: int
    value_sha256: str


class ParkedRecord(NamedTuple):
    """A cancellation that waits for its customer's signup."""

    customer_id: str
    record: Record


class Committed(NamedTuple):
    """The rows that a commit added to the outbox.

    `messages` are those to be published: the others have a receipt already. Of silent changes, which are never
    published, they are those that would be. `rows` are the numbers of all the added rows; None where rows get their
    numbers after the commit.
    """

    messages: Sequence[Outgoing]
    rows: range | None


class PendingBatch(NamedTuple):
    """The messages to be published next, in order.

    They are the rows of the outbox after `after_seq` up to `last_seq`, less those with a receipt: the
    messages can be fewer than the rows, or none.
    """

    after_seq: int
    messages: Sequence[Outgoing]
    last_seq: int


@dataclass(slots=True)
class Changes:
    """The changes of a batch, committed in one transaction.

    `last_records` has the last record before a position, if a batch has one. `undecided` are records before
    their position that were found to have no decision yet. With `is_silent` the outgoing records count as published,
    and are never sent.
    """

    new_customers: dict[str, Customer] = field(default_factory=dict)
    changed_customers: dict[str, Customer] = field(default_factory=dict)
    parked: dict[RecordCoordinates, ParkedRecord] = field(default_factory=dict)
    released: list[RecordCoordinates] = field(default_factory=list)
    abandoned: list[RecordCoordinates] = field(default_factory=list)
    journal: list[JournalRow] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    redrives: list[Redrive] = field(default_factory=list)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    last_records: dict[TopicPartition, RecordMark] = field(default_factory=dict)
    undecided: list[RecordCoordinates] = field(default_factory=list)
    is_silent: bool = False


class StoreRole(ABC):
    """A part of the port to a database. One thread at a time.

    Every method raises `StoreError` when the database fails; after that the same call may be tried again.
    """

    @abstractmethod
    def reopen(self) -> None:
        """Reconnect after a failure that left the connection unusable."""


class BatchStore(StoreRole):
    """Customers, parked cancellations, the journal and positions: read for a batch, and committed with it."""

    @abstractmethod
    def customers(self, customer_ids: Collection[str]) -> Iterable[Customer]:
        """Return the stored customers among these ids."""

    @abstractmethod
    def active_customers(self) -> Iterator[Customer]:
        """Yield every stored customer who has not churned."""

    @abstractmethod
    def lost_arr(self) -> Decimal:
        """Return the ARR of every churned customer, in dollars a year."""

    @abstractmethod
    def sample(self, n: int) -> list[Customer]:
        """Return `n` random stored customers, the same ones on every call."""

    @abstractmethod
    def parked(self, customer_ids: Collection[str]) -> Iterable[ParkedRecord]:
        """Return the parked cancellations of these customers, in the order they came."""

    @abstractmethod
    def parked_before(self, moment: datetime, limit: int) -> Sequence[ParkedRecord]:
        """Return the oldest cancellations that were parked before then, in the order they came."""

    @property
    @abstractmethod
    def abandoned(self) -> AbstractSet[RecordCoordinates]:
        """Coordinates of the records that an operator abandoned: if read again, they have no effect.

        These are cancellations that `parked dead-letter` rejected, and records whose dead letters were discarded.
        """

    @abstractmethod
    def decided(self, places: Collection[RecordCoordinates]) -> AbstractSet[RecordCoordinates]:
        """Return those of these records that have a decision in the journal."""

    @abstractmethod
    def discard(self, dead_letter_ids: Sequence[str], why: str) -> None:
        """Discard these dead letters: they are neither redriven nor, if read again, applied."""

    @abstractmethod
    def positions(self) -> Mapping[TopicPartition, int]:
        """Return the next offset of each input partition ever read."""

    @abstractmethod
    def commit(self, changes: Changes) -> Committed:
        """Commit the changes in one transaction.

        Outgoing records with a stored receipt count as published.
        """

    @abstractmethod
    def rollback(self) -> None:
        """Discard state read for the batch; does nothing after a commit."""


class OutboxStore(StoreRole):
    """The outbox, and the receipts of published records."""

    @property
    @abstractmethod
    def last_seq(self) -> int:
        """Number of the last row of the outbox."""

    @property
    @abstractmethod
    def published_seq(self) -> int:
        """Number of the row up to which the outbox is marked as published."""

    @property
    @abstractmethod
    def unpublished(self) -> int:
        """Return the number of rows that are not known as published."""

    @abstractmethod
    def pending(self, after_seq: int, limit: int, up_to_seq: int | None = None) -> PendingBatch:
        """Return the messages to be published after that row: at most `limit`, and about 32 MiB of values.

        With `up_to_seq`, none after that row.
        """

    @abstractmethod
    def mark_published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        """Record that the outbox is published up to `last_seq`, and the output partitions' ends after that."""

    @abstractmethod
    def output_ends(self) -> Mapping[TopicPartition, int]:
        """Return the offset of each output partition up to which its records are accounted for."""

    @abstractmethod
    def keep_receipts(self, ids: Sequence[str], ends: Mapping[TopicPartition, int]) -> None:
        """Record that these ids were found on the output topics, read up to `ends`.

        Rows of the outbox with such an id count as published, including rows added later.
        """


class OwnershipStore(StoreRole):
    """The ownership of the database, of its input partitions and of the right to publish."""

    @property
    @abstractmethod
    def exclusive_id(self) -> str | None:
        """Identity of the database if it is single-process (DuckDB), else None. A copied file has another identity."""

    @property
    def is_shared(self) -> bool:
        """Whether any number of workers can work on the database at the same time."""
        return self.exclusive_id is None

    @abstractmethod
    def claim(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Take over these input partitions; returns all positions.

        From now on, batches of the previous owner fail with `NotTheOwnerError`.
        """

    @abstractmethod
    def lead(self) -> bool:
        """Acquire or renew leadership, the right to publish; returns whether this store is the leader.

        Call it every second.
        """

    @abstractmethod
    def logs(self) -> Mapping[TopicPartition, LogIdentity]:
        """Return the log that each position belongs to, as far as it was recorded."""

    @abstractmethod
    def identify_logs(self, topic_ids: Mapping[TopicPartition, UUID]) -> None:
        """Record the topic ids of these partitions' logs for positions without one, including later positions."""

    @abstractmethod
    def forget_position(self, partition: TopicPartition, next_offset: int) -> None:
        """Set a position by decision of an operator: records before it were lost, and it may be in another log."""


class StoreLifecycle(StoreRole):
    """The lifecycle of the database: views, maintenance, closing."""

    @abstractmethod
    def view(self) -> StoreView:
        """Return a snapshot of the store. May be called from any thread; the view is used in one thread."""

    @abstractmethod
    def prove_writable(self) -> None:
        """Commit a write that changes no data. Raises `StoreError` if a commit would fail, too."""

    @abstractmethod
    def maintain(self) -> None:
        """Run the maintenance that is due between batches."""

    @abstractmethod
    def close(self) -> None:
        """Close the database."""


class Store(BatchStore, OutboxStore, OwnershipStore, StoreLifecycle):
    """A store: a database in all roles."""
