"""The port to a database: what a batch changes, committed whole, and what is yet to be published."""

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
    """A record's topic, partition and offset."""

    topic: str
    partition: int
    offset: int


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """One decision. `reason` is that of a rejection, `event_id` the id of the event that the record brought.

    One is made per record: it takes 60 ns, a tuple 40 and a NamedTuple 190; and its columns are read faster than a
    tuple's.
    """

    topic: str
    partition: int
    offset: int
    customer_id: str | None
    outcome: str
    reason: str | None = None
    event_id: str | None = None


class Redrive(NamedTuple):
    """A record that says it is a dead letter sent again: which one, where it stands, and the SHA-256 of its value."""

    dead_letter_id: str
    topic: str
    partition: int
    offset: int
    value_sha256: str


class ParkedRecord(NamedTuple):
    """A cancellation that waits for its customer's signup."""

    customer_id: str
    record: Record


class PendingBatch(NamedTuple):
    """Outgoing records to be published next, in order.

    They are the rows of the outbox after `after_seq` up to `last_seq`, less those whose receipt was found: the
    messages can be fewer than the rows, or none. Where rows get their numbers only later, a commit gives no rows
    (`last_seq` is `after_seq`): what it added is then asked for by `Store.pending`.
    """

    after_seq: int
    messages: Sequence[Outgoing]
    last_seq: int


@dataclass(slots=True)
class Changes:
    """Everything a batch changes. It is committed whole or not at all.

    `last_records` has the last record before a position, where a batch brought one. `undecided` are records before
    their position that were found to have no decision yet. With `is_silent` the outgoing records count as published,
    and are never sent.
    """

    new_customers: dict[str, Customer] = field(default_factory=dict)
    changed_customers: dict[str, Customer] = field(default_factory=dict)
    parked: dict[RecordCoordinates, ParkedRecord] = field(default_factory=dict)
    released: list[RecordCoordinates] = field(default_factory=list)
    given_up: list[RecordCoordinates] = field(default_factory=list)
    journal: list[JournalRow] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    redrives: list[Redrive] = field(default_factory=list)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    last_records: dict[TopicPartition, RecordMark] = field(default_factory=dict)
    undecided: list[RecordCoordinates] = field(default_factory=list)
    is_silent: bool = False


class Store(ABC):
    """The port to a database. One thread at a time.

    Every method raises `StoreError` when the database fails; after that the same call may be tried again.
    """

    @property
    @abstractmethod
    def exclusive_id(self) -> str | None:
        """A name of this very database, no copy of it, where it lets in one process at a time; else None."""

    @abstractmethod
    def begin(self) -> None:
        """Start reading for a batch."""

    @abstractmethod
    def rollback(self) -> None:
        """Forget the batch; does nothing after a commit."""

    @abstractmethod
    def customers(self, customer_ids: Collection[str]) -> Iterable[Customer]:
        """The stored customers among these ids."""

    @abstractmethod
    def active_customers(self) -> Iterator[Customer]:
        """Every stored customer who has not churned."""

    @abstractmethod
    def lost_arr(self) -> Decimal:
        """The ARR of every churned customer, in dollars a year."""

    @abstractmethod
    def sample(self, n: int) -> list[Customer]:
        """`n` random stored customers, the same ones on every call."""

    @abstractmethod
    def parked(self, customer_ids: Collection[str]) -> Iterable[ParkedRecord]:
        """The parked cancellations of these customers, in the order they came."""

    @abstractmethod
    def parked_before(self, moment: datetime, limit: int) -> Sequence[ParkedRecord]:
        """The oldest cancellations that were parked before then, in the order they came."""

    @property
    @abstractmethod
    def given_up(self) -> AbstractSet[RecordCoordinates]:
        """Where the records stand that an operator decided to leave: read again, they take no effect.

        Those waited for a signup until dead letters were made of them, or their dead letters were discarded.
        """

    @abstractmethod
    def decided(self, places: Collection[RecordCoordinates]) -> AbstractSet[RecordCoordinates]:
        """Return those of these records about which the journal has a decision."""

    @abstractmethod
    def discard(self, dead_letter_ids: Sequence[str], why: str) -> None:
        """Note that these dead letters are left for good: neither redriven nor, read again, applied."""

    @abstractmethod
    def commit(self, changes: Changes) -> PendingBatch:
        """Make the changes durable, all at once; what is to be published of them.

        Outgoing records whose receipt is kept count as published. Of silent changes it gives what would be published.
        """

    @abstractmethod
    def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset to take of each input partition ever seen."""

    def claim(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Take over these input partitions: from now on no other store's batches advance them; all positions.

        A batch of whoever had them before fails with `NotTheOwnerError`.
        """
        del partitions  # a store that lets in one process has one owner
        return self.positions()

    def lead(self) -> bool:
        """Try to be, or to stay, the one whose relay publishes; whether this store is. To be asked every second."""
        return True  # a store that lets in one process has one relay

    @abstractmethod
    def logs(self) -> Mapping[TopicPartition, LogIdentity]:
        """Return the log that each position belongs to, as far as it was recorded."""

    @abstractmethod
    def identify_logs(self, topic_ids: Mapping[TopicPartition, UUID]) -> None:
        """Record the topic ids of these partitions' logs, with positions that have none: now and as they come."""

    @abstractmethod
    def forget_position(self, partition: TopicPartition, next_offset: int) -> None:
        """Set a position by decision of an operator: records before it were lost, and it may be in another log."""

    @property
    @abstractmethod
    def last_seq(self) -> int:
        """The last row of the outbox."""

    @property
    @abstractmethod
    def published_seq(self) -> int:
        """Up to where the outbox is marked as published."""

    @property
    @abstractmethod
    def unpublished(self) -> int:
        """How many rows of the outbox are not known as published."""

    @abstractmethod
    def pending(self, after_seq: int, limit: int, up_to_seq: int | None = None) -> PendingBatch:
        """What is to be published after that row: at most `limit` messages, and about 32 MiB of values.

        Nothing after `up_to_seq`, where that is given.
        """

    @abstractmethod
    def mark_published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        """Record that the outbox is published up to `last_seq`, and the output partitions' ends after that."""

    @abstractmethod
    def output_ends(self) -> Mapping[TopicPartition, int]:
        """Up to where each output partition's records are accounted for."""

    @abstractmethod
    def keep_receipts(self, ids: Sequence[str], ends: Mapping[TopicPartition, int]) -> None:
        """Record that these ids were found on the output topics, read up to `ends`.

        Rows of the outbox with such an id count as published, now or whenever they come.
        """

    @abstractmethod
    def view(self) -> StoreView:
        """The store as it is now, for reading beside it; from any thread, and to be used in one."""

    @abstractmethod
    def prove_writable(self) -> None:
        """Make something durable that changes nothing. Raises `StoreError` where a commit would fail, too."""

    @abstractmethod
    def maintain(self) -> None:
        """Upkeep between batches, when due."""

    @abstractmethod
    def reopen(self) -> None:
        """Connect anew after a failure that left the connection unusable."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""


class StoreError(Exception):
    """The store could not do what was asked: the message says what failed and what to do."""


class StoreConflictError(StoreError):
    """Another worker changed what this batch was decided on: decided anew, it will do."""


class NotTheOwnerError(StoreError):
    """The batch is of partitions that another worker has taken over: it is theirs to decide."""


class NewerStoreError(StoreError):
    """The tables were migrated to a version that only newer workers know: this one is to write nothing more."""


class StoreDamagedError(StoreError):
    """What the store wrote cannot be read back: trying again does not help."""


class StoreInUseError(StoreError):
    """Another process has the store open."""


class NoStoreError(StoreError):
    """There is no store yet where one is to be read."""
