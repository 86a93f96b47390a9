"""The unit of work: the changes of one batch, collected and committed in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Self

from typing_extensions import override

from domain.customer import Customer, CustomerRepository
from worker.messages.log_identity import mark_of
from worker.messages.message import Cancellation, Message
from worker.messages.record import Located, Record, TopicPartition
from worker.stores.changes import Changes, Committed, ParkedRecord, RecordCoordinates
from worker.stores.port import BatchStore


class _Known(dict[str, Customer | None]):
    """The customers loaded so far, by id; None for an id without a customer. `load` is called for any other id."""

    def __init__(self, load: Callable[[str], Customer | None]) -> None:
        super().__init__()
        self._load = load

    def __missing__(self, customer_id: str) -> Customer | None:
        return self._load(customer_id)


class Customers(CustomerRepository):
    """The customers of one unit of work: each is loaded once, and written at commit."""

    def __init__(self, store: BatchStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._known = _Known(self._load_one)

    def load(self, customer_ids: set[str]) -> None:
        """Load these customers in one query, so that `get_by_id` needs none."""
        known = self._known
        wanted = customer_ids.difference(known) if known else customer_ids
        known.update(dict.fromkeys(wanted))
        known.update({customer.customer_id: customer for customer in self._store.customers(wanted)})

    def _load_one(self, customer_id: str) -> Customer | None:
        self.load({customer_id})
        return self._known.get(customer_id)

    @override
    def get_by_id(self, customer_id: str) -> Customer | None:
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
            is_new = self._known[customer_id] is None
            changed = self._changes.new_customers if is_new else self._changes.changed_customers
            changed[customer_id] = customer
        self._known[customer_id] = customer


class ParkedCancellations:
    """The cancellations that wait for a signup, in the order they came."""

    def __init__(self, store: BatchStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._waiting: dict[str, list[ParkedRecord]] = {}

    def load(self, customer_ids: set[str]) -> None:
        """Load the parked cancellations of these customers, once per customer."""
        for parked in self._store.parked(customer_ids):
            self._waiting.setdefault(parked.customer_id, []).append(parked)

    def add(self, cancellation: Cancellation) -> bool:
        """Park the cancellation. Returns False if this record is parked already."""
        coordinates = coordinates_of(cancellation)
        waiting = self._waiting.setdefault(cancellation.customer_id, [])
        if any(coordinates_of(parked.record) == coordinates for parked in waiting):
            return False
        self._changes.parked[coordinates] = parked = ParkedRecord(cancellation.customer_id, cancellation.record())
        waiting.append(parked)
        return True

    @property
    def waiting(self) -> Collection[str]:
        """Loaded customers with parked cancellations."""
        return self._waiting

    def release(self, customer_id: str) -> list[Record]:
        """Release the cancellations parked for this customer, and return them in order."""
        records = [parked.record for parked in self._waiting.pop(customer_id, [])]
        for coordinates in map(coordinates_of, records):
            if self._changes.parked.pop(coordinates, None) is None:
                self._changes.released.append(coordinates)
        return records

    def give_up(self, record: Record) -> None:
        """Remove a parked record permanently: if it is read again, it is not parked again."""
        self._changes.abandoned.append(coordinates_of(record))

    @property
    def abandoned(self) -> AbstractSet[RecordCoordinates]:
        """Coordinates of the records that an operator abandoned before this unit of work."""
        return self._store.abandoned


def coordinates_of(record: Located) -> RecordCoordinates:
    """Return the coordinates of a record, or of the record of a message."""
    return RecordCoordinates(record.topic, record.partition, record.offset)


class Positions:
    """The positions of the input partitions."""

    def __init__(self, store: BatchStore, changes: Changes) -> None:
        self._stored = store.positions()
        self._changes = changes

    def next_offset(self, partition: TopicPartition) -> int:
        """Return the first offset not decided in an earlier batch; a record before it is a replay."""
        return self._stored.get(partition, 0)

    def advance(self, last: Mapping[TopicPartition, Record]) -> None:
        """Set the next offset of each partition behind its last record; a position never moves back."""
        for partition, record in last.items():
            if record.offset >= self.next_offset(partition):
                self._changes.positions[partition] = record.offset + 1
                self._changes.last_records[partition] = mark_of(record)


class EarlierDecisions:
    """The decisions of earlier batches about these records, loaded at the first use.

    A record before the position need not have one: an operator may have skipped it (ALLOW_SKIP_FORWARD).
    """

    def __init__(self, store: BatchStore, changes: Changes, messages: Sequence[Message]) -> None:
        self._store = store
        self._changes = changes
        self._messages = messages
        self._found: AbstractSet[RecordCoordinates] | None = None

    def is_missing(self, message: Message) -> bool:
        """Return whether the record was never decided; then the commit fails if another worker decides it first."""
        if self._found is None:
            self._found = self._store.decided(list(map(coordinates_of, self._messages)))
        coordinates = coordinates_of(message)
        if coordinates in self._found:
            return False
        self._changes.undecided.append(coordinates)
        return True


class UnitOfWork:
    """A unit of work: the changes of a batch to a store, committed all or not at all.

    Leaving the `with` block without `commit` discards every change.
    """

    def __init__(self, store: BatchStore) -> None:
        self._store = store
        self._changes = Changes()
        self.customers = Customers(store, self._changes)
        self.parked = ParkedCancellations(store, self._changes)
        self.positions = Positions(store, self._changes)
        self.signups = self._changes.signups
        self.journal = self._changes.journal
        self.outbox = self._changes.outbox
        self.redrives = self._changes.redrives

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.rollback()

    def earlier_decisions(self, messages: Sequence[Message]) -> EarlierDecisions:
        """Return the decisions of earlier batches about the records of these messages."""
        return EarlierDecisions(self._store, self._changes, messages)

    def commit(self) -> Committed:
        """Commit every change in one transaction. Raises `StoreError`; then nothing is committed.

        The unit of work cannot be used afterwards.
        """
        return self._store.commit(self._changes)
