"""One batch's changes, kept together until they are committed at once; and the store they are committed to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from typing_extensions import override

from domain.customer import Customer, CustomerRepository
from worker.messages import Cancellation
from worker.outgoing import Outgoing
from worker.records import Record, TopicPartition

Place = tuple[str, int, int]
"""A record's topic, partition and offset."""


JournalRow = tuple[str, int, int, str | None, str, str | None, str | None]
"""One decision: topic, partition, offset, customer id, outcome, reason of a rejection, id of the event it brought."""


class ParkedRecord(NamedTuple):
    """A cancellation that waits for its customer's signup."""

    customer_id: str
    record: Record


class PendingBatch(NamedTuple):
    """Outgoing records to be published next, in order.

    They are the rows of the outbox after `after_seq` up to `last_seq`, less those whose receipt was found: the
    messages can be fewer than the rows, or none.
    """

    after_seq: int
    messages: Sequence[Outgoing]
    last_seq: int


@dataclass(slots=True)
class Changes:
    """Everything a batch changes. It is committed whole or not at all."""

    new_customers: dict[str, Customer] = field(default_factory=dict)
    changed_customers: dict[str, Customer] = field(default_factory=dict)
    parked: dict[Place, ParkedRecord] = field(default_factory=dict)
    released: list[Place] = field(default_factory=list)
    journal: list[JournalRow] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    positions: dict[TopicPartition, int] = field(default_factory=dict)


class Store(ABC):
    """The port to a database. One thread at a time.

    Every method raises `StoreError` when the database fails; after that the same call may be tried again.
    """

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
    def sample(self, n: int) -> list[Customer]:
        """`n` random stored customers, the same ones on every call."""

    @abstractmethod
    def parked(self, customer_ids: Collection[str]) -> Iterable[ParkedRecord]:
        """The parked cancellations of these customers, in the order they came."""

    @abstractmethod
    def commit(self, changes: Changes) -> PendingBatch:
        """Make the changes durable, all at once; what is to be published of them.

        Outgoing records whose receipt is kept count as published.
        """

    @abstractmethod
    def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset to take of each input partition ever seen."""

    @abstractmethod
    def forget_position(self, partition: TopicPartition, next_offset: int) -> None:
        """Set a position by decision of an operator: records before it were lost."""

    @property
    @abstractmethod
    def published_seq(self) -> int:
        """Up to where the outbox is marked as published."""

    @abstractmethod
    def pending(self, after_seq: int, limit: int) -> PendingBatch:
        """What is to be published after that row: at most `limit` messages, and about 32 MiB of values."""

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


class StoreInUseError(StoreError):
    """Another process has the store open."""


class Customers(CustomerRepository):
    """The customers of one unit of work: each is loaded once, and written at commit."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._known: dict[str, Customer | None] = {}

    def load(self, customer_ids: Iterable[str]) -> None:
        """Read these customers at once, so that `get_by_id` need not."""
        known = self._known
        wanted = {customer_id for customer_id in customer_ids if customer_id not in known}
        known.update(dict.fromkeys(wanted))
        known.update({customer.customer_id: customer for customer in self._store.customers(wanted)})

    @override
    def get_by_id(self, customer_id: str) -> Customer | None:
        if customer_id not in self._known:
            self.load([customer_id])
        return self._known[customer_id]

    @override
    def get_all_active(self) -> Iterator[Customer]:
        for stored in self._store.active_customers():
            customer = self._known.get(stored.customer_id) or stored
            if customer.is_active:
                yield customer
        yield from [customer for customer in self._changes.new_customers.values() if customer.is_active]

    @override
    def get_sample(self, n: int) -> list[Customer]:
        return [self._known.get(stored.customer_id) or stored for stored in self._store.sample(n)]

    @override
    def save(self, customer: Customer) -> None:
        customer_id = customer.customer_id
        if customer_id not in self._changes.new_customers:
            is_new = self.get_by_id(customer_id) is None
            changed = self._changes.new_customers if is_new else self._changes.changed_customers
            changed[customer_id] = customer
        self._known[customer_id] = customer


class ParkedCancellations:
    """The cancellations that wait for a signup, in the order they came."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._waiting: dict[str, list[ParkedRecord]] = {}

    def load(self, customer_ids: Iterable[str]) -> None:
        """Read what is parked for these customers."""
        for parked in self._store.parked(set(customer_ids)):
            self._waiting.setdefault(parked.customer_id, []).append(parked)

    def add(self, cancellation: Cancellation) -> bool:
        """Keep the cancellation until its customer signs up. False where this very record is kept already."""
        place = _place(cancellation.record)
        waiting = self._waiting.setdefault(cancellation.customer_id, [])
        if any(_place(parked.record) == place for parked in waiting):
            return False
        self._changes.parked[place] = parked = ParkedRecord(cancellation.customer_id, cancellation.record)
        waiting.append(parked)
        return True

    def release(self, customer_id: str | None) -> list[Record]:
        """What waited for this customer, in order; it waits no longer."""
        records = [parked.record for parked in self._waiting.pop(customer_id or "", ())]
        for place in map(_place, records):
            if self._changes.parked.pop(place, None) is None:
                self._changes.released.append(place)
        return records


def _place(record: Record) -> Place:
    return record.topic, record.partition, record.offset


class Positions:
    """How far each input partition was read."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._stored = store.positions()
        self._changes = changes

    def next_offset(self, topic: str, partition: int) -> int:
        """The first offset not decided in an earlier batch; reading one before it is a replay."""
        return self._stored.get((topic, partition), 0)

    def advance(self, records: Iterable[Record]) -> None:
        """Count these records as read; a position never moves back."""
        reached = self._changes.positions
        for (topic, partition), offset in {(r.topic, r.partition): r.offset for r in records}.items():
            place = (topic, partition)
            if offset >= self._stored.get(place, 0):
                reached[place] = offset + 1


class UnitOfWork:
    """One batch against one store, all or nothing.

    Leaving the `with` block without `commit` forgets every change.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes = Changes()
        self.customers = Customers(store, self._changes)
        self.parked = ParkedCancellations(store, self._changes)
        self.positions = Positions(store, self._changes)
        self.journal = self._changes.journal
        self.outbox = self._changes.outbox

    def __enter__(self) -> Self:
        self._store.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.rollback()

    def commit(self) -> PendingBatch:
        """Make every change durable at once; what is to be published. Raises `StoreError`; then nothing counts."""
        return self._store.commit(self._changes)
