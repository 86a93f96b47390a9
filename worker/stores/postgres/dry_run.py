"""A dry run on PostgreSQL: commits are kept in the memory of this process.

Rows that are written and rolled back would make workers wait for their locks, and leave dead rows behind. So the
database is only read, in one read-only transaction with a snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from decimal import Decimal

from typing_extensions import override

from domain.customer import Customer
from worker.messages.record import TopicPartition
from worker.stores.changes import Changes, Committed, ParkedRecord, RecordCoordinates
from worker.stores.postgres.connection import connect, require_store, stored_id, wrap_errors
from worker.stores.postgres.outbox import IS_PENDING, NUMBERED
from worker.stores.postgres.store import PostgresStore


class PostgresDryRun(PostgresStore):
    """A snapshot of the store, with the commits of this process on top of it.

    It implements the methods that deciding records and the report use; those that write to the database fail. It takes
    no locks that workers wait for. Only changes are kept in memory: customers, parked records and ids.
    """

    @wrap_errors
    @override
    def _open(self) -> None:
        self._customers: dict[str, Customer] = {}
        self._parked: dict[RecordCoordinates, ParkedRecord] = {}
        self._gone: set[RecordCoordinates] = set()
        self._receipts: set[str] = set()
        self._advanced: dict[TopicPartition, int] = {}
        self._lost_arr = Decimal(0)
        self._added = 0
        self._db = connect(self._url)
        try:
            # No time limit while this waits for Kafka: no other transaction waits for this one.
            self._db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # The transaction's first look, which it keeps.
            require_store(self._db, self.shown, self._version)
            self._id = stored_id(self._db)
        except BaseException:
            self._db.close()
            raise

    @override
    def customers(self, customer_ids: Collection[str]) -> Iterable[Customer]:
        found = {customer.customer_id: customer for customer in super().customers(customer_ids)}
        changed = self._customers
        # Copies: a batch changes the customers that it loads, and may be rolled back.
        found.update((each, copy(changed[each])) for each in customer_ids if each in changed)
        return found.values()

    @override
    def parked(self, customer_ids: Collection[str]) -> Iterable[ParkedRecord]:
        stored = [each for each in super().parked(customer_ids) if _place(each) not in self._gone]
        wanted = set(customer_ids)
        return stored + [each for each in self._parked.values() if each.customer_id in wanted]

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        return {**super().positions(), **self._advanced}

    @override
    def lost_arr(self) -> Decimal:
        return super().lost_arr() + self._lost_arr

    @property
    @override
    def unpublished(self) -> int:
        query = f"SELECT count(*) FROM {NUMBERED} WHERE {IS_PENDING} AND id <> ALL(%s)"
        return int(self._rows(query, [list(self._receipts)])[0][0]) + self._added

    @override
    def keep_receipts(self, ids: Sequence[str], ends: Mapping[TopicPartition, int]) -> None:
        self._receipts.update(message_id for message_id in ids if "\0" not in message_id)

    @override
    def commit(self, changes: Changes) -> Committed:
        receipted = self._receipted([message.id for message in changes.outbox])
        for changed in (changes.new_customers, changes.changed_customers):
            self._customers.update(changed)
            self._lost_arr += sum(each.mrr.annual for each in changed.values() if not each.is_active)
        self._advanced.update(changes.positions)
        self._parked.update(changes.parked)
        for record in changes.released + changes.abandoned:
            if self._parked.pop(record, None) is None:
                self._gone.add(record)
        messages = [message for message in changes.outbox if message.id not in receipted]
        self._added += 0 if changes.is_silent else len(messages)
        return Committed(messages, rows=None)

    def _receipted(self, ids: Sequence[str]) -> set[str]:
        """Return the ids of records that are on their topic."""
        if not ids:
            return set()
        stored = {message_id for (message_id,) in self._rows("SELECT id FROM receipts WHERE id = ANY(%s)", [list(ids)])}
        return stored | self._receipts.intersection(ids)

    @override
    def reopen(self) -> None:
        """Do nothing: a new transaction would have another snapshot. After a failure, every call fails."""


def _place(parked: ParkedRecord) -> RecordCoordinates:
    return RecordCoordinates(parked.record.topic, parked.record.partition, parked.record.offset)
