"""The port to a database, by role: batches, the outbox, ownership and the lifecycle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from domain.customer import Customer
from worker.messages.log_identity import LogIdentity
from worker.messages.record import TopicPartition
from worker.stores.changes import Changes, Committed, ParkedRecord, PendingBatch, RecordCoordinates
from worker.stores.reading import StoreView


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
    def decided(self, coordinates: Collection[RecordCoordinates]) -> AbstractSet[RecordCoordinates]:
        """Return those of these records that have a decision."""

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
        """Record that the outbox is published up to `last_seq`, and the output partitions' ends after that.

        The mark may be kept in memory until the next commit, `write_mark` or `close`.
        """

    @abstractmethod
    def write_mark(self) -> None:
        """Write the mark that `mark_published` has kept in memory, if any."""

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

        From now on, batches of the previous owner fail with `NotTheOwnerError`. If one of these positions is found
        before the one that this store has committed, batches fail with `StoreBehindError` until they are claimed again.
        """

    def require_commits(self) -> None:
        """Raise `StoreBehindError` if a claimed position is before the one that this store has committed.

        Does nothing for a single-process store, which nobody replaces meanwhile.
        """

    @abstractmethod
    def lead(self) -> bool:
        """Acquire or renew leadership, the right to publish; returns whether this store is the leader.

        Call it every second. Raises `StoreError` if the leadership was lost, also by a renewed connection: what is
        published is then to be settled again.
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
