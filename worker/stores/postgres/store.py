"""The store in PostgreSQL: any number of workers, each taking batches of the partitions it has.

What shapes it: a batch is decided without locks and committed in one short READ COMMITTED transaction, which looks once
more at what the batch was decided on. Locks are taken in one order by everybody (positions, gate, customers by id), so
that nobody waits in a circle. Nothing is remembered between batches but the claims.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from typing_extensions import override

from domain.customer import Customer
from worker.failpoints import reach
from worker.messages.log_identity import LogIdentity, RecordMark
from worker.messages.record import TopicPartition
from worker.stores.migrations import newest_version
from worker.stores.port import Changes, ParkedRecord, PendingBatch, RecordCoordinates, Store, StoreError
from worker.stores.postgres import checks, outbox, rows
from worker.stores.postgres.connection import (
    Connection,
    connect,
    connect_to_write,
    explain,
    migrate,
    require_same_store,
    require_store,
    require_version,
    stored_id,
    stored_version,
    wrap_errors,
)
from worker.stores.postgres.given_up import GivenUp
from worker.stores.postgres.locks import locks
from worker.stores.postgres.view import PostgresView
from worker.stores.reading import StoreView
from worker.stores.row_codec import POSITION_LOGS, customer, log_identity, parked_record


def migrate_store(url: str, shown: str) -> tuple[int, int]:
    """Bring the tables at `url` to this worker's version; the version before and after. Raises `StoreError`."""
    try:
        with closing(connect(url)) as db:
            before, after = migrate(db)
            require_store(db, shown, newest_version("postgres"))
            return before, after
    except psycopg.Error as error:
        raise explain(error, shown) from error


NOBODY = -1
"""The epoch of one who does not lead."""


class PostgresStore(Store):
    """Customers and everything about them in the database at `url`; `shown` is that without its password.

    An empty database gets its tables. Raises `StoreError` where it cannot be reached or has another version.
    """

    def __init__(
        self,
        url: str,
        shown: str,
        lock_kind: str = "advisory",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url
        self.shown = shown
        self._clock = clock
        self._version = newest_version("postgres")
        self._id: UUID | None = None
        self._locks = locks(lock_kind, url, self._require_version)
        self._leader_epoch: int | None = None
        self._epochs: dict[TopicPartition, int] = {}
        self._read: Mapping[TopicPartition, int] = {}
        self._topic_ids: Mapping[TopicPartition, UUID] = {}
        self._views: set[PostgresView] = set()
        self._closing = threading.Lock()
        self._open()

    @wrap_errors
    def _open(self) -> None:
        self._db = connect_to_write(self._url)
        try:
            if stored_version(self._db) == 0:
                if self._id is not None:  # tables made now would hide that the workers' store is elsewhere
                    require_same_store(self.shown, None, self._id)
                migrate(self._db, from_nothing_only=True)
            require_store(self._db, self.shown, self._version)
            found = stored_id(self._db)
            require_same_store(self.shown, found, self._id or found)
            self._id = found
            self.prove_writable()  # a standby, or a user without rights, is told of now and not with the first batch
        except BaseException:
            self._db.close()
            raise

    def _require_version(self, db: Connection) -> None:
        """Raise `NewerStoreError` where the tables were migrated under a worker that does not know what they mean now.

        Raises `StoreError` where the session or the store is another one. A migration waits for the transaction that
        this is asked in.
        """
        require_version(db, self.shown, self._version, self._id)

    @property
    @override
    def exclusive_id(self) -> None:
        return None

    @override
    def begin(self) -> None:
        pass  # a batch reads what is committed, and looks again at its commit

    @override
    def rollback(self) -> None:
        self._read = {}

    @wrap_errors
    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(query.encode(), parameters or None).fetchall()

    @override
    def customers(self, customer_ids: Collection[str]) -> Iterable[Customer]:
        if not customer_ids:
            return []
        query = f"SELECT {rows.CUSTOMER_COLUMNS} FROM customers WHERE customer_id = ANY(%s::uuid[])"
        return [customer(row) for row in self._rows(query, [rows.uuids(customer_ids)])]

    @override
    def active_customers(self) -> Iterator[Customer]:
        return map(customer, self._rows(f"SELECT {rows.CUSTOMER_COLUMNS} FROM customers WHERE churn_date IS NULL"))

    @override
    def lost_arr(self) -> Decimal:
        query = "SELECT coalesce(sum(arr), 0.00) FROM customer_arr WHERE churn_date IS NOT NULL"
        return Decimal(self._rows(query)[0][0])

    @override
    def sample(self, n: int) -> list[Customer]:
        query = f"SELECT {rows.CUSTOMER_COLUMNS} FROM customers ORDER BY md5(customer_id::text || '42') LIMIT %s"
        return [customer(row) for row in self._rows(query, [n])]

    @override
    def parked(self, customer_ids: Collection[str]) -> Iterable[ParkedRecord]:
        if not customer_ids:
            return []
        query = f"SELECT {rows.PARKED_COLUMNS} FROM parked WHERE customer_id = ANY(%s::uuid[]) ORDER BY seq"
        return [parked_record(row) for row in self._rows(query, [rows.uuids(customer_ids)])]

    @override
    def parked_before(self, moment: datetime, limit: int) -> Sequence[ParkedRecord]:
        query = f"SELECT {rows.PARKED_COLUMNS} FROM parked WHERE parked_at < %s ORDER BY seq LIMIT %s"
        return [parked_record(row) for row in self._rows(query, [moment, limit])]

    @property
    @override
    def given_up(self) -> AbstractSet[RecordCoordinates]:
        return GivenUp(self._rows)

    @wrap_errors
    @override
    def decided(self, places: Collection[RecordCoordinates]) -> AbstractSet[RecordCoordinates]:
        return checks.decided(self._db, places)

    @wrap_errors
    @override
    def discard(self, dead_letter_ids: Sequence[str], why: str) -> None:
        query = 'INSERT INTO discards (dead_letter_id, "at", why) SELECT unnest(%s::text[]), %s, %s'
        self._db.execute(query, [list(dead_letter_ids), self._clock(), why])

    @wrap_errors
    @override
    def commit(self, changes: Changes) -> PendingBatch:
        now = self._clock()
        with self._db.transaction():
            self._require_version(self._db)
            self._check(changes)
            self._write_customers(changes)
            self._write_parked(changes, now)
            if changes.journal:
                rows.copy_binary(self._db, rows.JOURNAL, rows.JOURNAL_TYPES, rows.journal(changes.journal, now))
            receipted = outbox.add(self._db, changes.outbox, is_silent=changes.is_silent)
            columns = 'redrives (dead_letter_id, topic, partition, "offset", value_sha256)'
            self._copy(columns, changes.redrives)
            self._write_positions(changes.positions, changes.last_records)
            reach("before-commit")
        reach("after-commit")
        self._read = {}
        # No row has its number yet, so none is offered to the relay: the one that leads may be another's.
        return PendingBatch(0, [message for message in changes.outbox if message.id not in receipted], 0)

    def _check(self, changes: Changes) -> None:
        undecided = {(topic, partition) for topic, partition, _ in changes.undecided}
        if changes.positions or undecided:
            checks.require_ownership(self._db, changes.positions, self._read, self._epochs, undecided)
        checks.require_undecided(self._db, changes)
        checks.pass_gate(self._db, self._locks, changes)
        checks.lock_changed(self._db, changes)
        checks.take_parked(self._db, changes)

    def _write_customers(self, changes: Changes) -> None:
        if new := changes.new_customers.values():
            rows.copy_binary(self._db, rows.CUSTOMERS, rows.CUSTOMERS_TYPES, rows.new_customers(new))
        if changed := changes.changed_customers.values():
            query = """
                UPDATE customers SET churn_date = changed.churn_date
                FROM unnest(%s::uuid[], %s::date[]) AS changed (id, churn_date) WHERE customer_id = changed.id
            """
            self._db.execute(
                query, [rows.uuids(c.customer_id for c in changed), rows.dates(c.churn_date for c in changed)]
            )

    def _write_parked(self, changes: Changes, now: datetime) -> None:
        columns = 'parked (customer_id, topic, partition, "offset", timestamp_ms, key, value, headers, parked_at)'
        self._copy(columns, changes.parked and rows.parked(changes.parked.values(), now))

    def _write_positions(
        self, positions: Mapping[TopicPartition, int], last_records: Mapping[TopicPartition, RecordMark]
    ) -> None:
        if not positions:
            return
        query = """
            INSERT INTO positions (topic, partition, next_offset, topic_id, record_offset, record_fingerprint)
            SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[])
                AS new (topic, partition)
            ORDER BY topic, partition
            ON CONFLICT (topic, partition) DO UPDATE SET
                next_offset = excluded.next_offset,
                topic_id = coalesce(positions.topic_id, excluded.topic_id),
                record_offset = coalesce(excluded.record_offset, positions.record_offset),
                record_fingerprint = coalesce(excluded.record_fingerprint, positions.record_fingerprint)
        """
        self._db.execute(query, rows.positions(positions, last_records, self._topic_ids))

    def _copy(self, columns: str, of: rows.Rows) -> None:
        if of:
            rows.copy(self._db, columns, of)

    def _upsert(self, table: str, column: str, offsets: Mapping[TopicPartition, int]) -> None:
        if offsets:
            outbox.upsert(self._db, table, column, offsets)

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        query = "SELECT topic, partition, next_offset FROM positions"
        found = {(topic, partition): offset for topic, partition, offset in self._rows(query)}
        self._read = {place: offset or 0 for place, offset in found.items()}
        return {place: offset for place, offset in found.items() if offset is not None}

    @wrap_errors
    @override
    def claim(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        query = """
            INSERT INTO positions (topic, partition, owner_epoch)
            SELECT topic, partition, 1 FROM unnest(%s::text[], %s::int[]) AS taken (topic, partition)
            ORDER BY topic, partition
            ON CONFLICT (topic, partition) DO UPDATE SET owner_epoch = positions.owner_epoch + 1
            RETURNING topic, partition, owner_epoch
        """
        topics, numbers = [topic for topic, _ in partitions], [number for _, number in partitions]
        with self._db.transaction():
            self._require_version(self._db)
            taken = self._db.execute(query, [topics, numbers]).fetchall()
        self._epochs = {(topic, partition): epoch for topic, partition, epoch in taken}
        return self.positions()

    @wrap_errors
    @override
    def lead(self) -> bool:
        epoch = None
        try:
            epoch = self._locks.lead()
        finally:
            self._leader_epoch = NOBODY if epoch is None else epoch
        return epoch is not None

    @wrap_errors
    @override
    def forget_position(self, partition: TopicPartition, next_offset: int) -> None:
        query = """
            UPDATE positions SET next_offset = %s, topic_id = NULL, record_offset = NULL, record_fingerprint = NULL
            WHERE topic = %s AND partition = %s
        """
        self._db.execute(query, [next_offset, *partition])

    @override
    def logs(self) -> Mapping[TopicPartition, LogIdentity]:
        return {(topic, partition): log_identity(*log) for topic, partition, *log in self._rows(POSITION_LOGS)}

    @wrap_errors
    @override
    def identify_logs(self, topic_ids: Mapping[TopicPartition, UUID]) -> None:
        self._topic_ids = topic_ids
        query = """
            UPDATE positions SET topic_id = identified.id
            FROM unnest(%s::text[], %s::int[], %s::uuid[]) AS identified (topic, partition, id)
            WHERE positions.topic = identified.topic AND positions.partition = identified.partition
                AND topic_id IS NULL AND next_offset IS NOT NULL
        """
        topics, partitions = [topic for topic, _ in topic_ids], [partition for _, partition in topic_ids]
        self._db.execute(query, [topics, partitions, list(topic_ids.values())])

    @property
    @override
    def last_seq(self) -> int:
        return self._number_new()

    @wrap_errors
    def _number_new(self) -> int:
        return outbox.number_new(self._db)

    @property
    @override
    def published_seq(self) -> int:
        return int(self._rows("SELECT published_seq FROM relay")[0][0])

    @property
    @override
    def unpublished(self) -> int:
        return int(self._rows(f"SELECT count(*) FROM {outbox.NUMBERED} WHERE {outbox.IS_PENDING}")[0][0])

    @wrap_errors
    @override
    def pending(self, after_seq: int, limit: int, up_to_seq: int | None = None) -> PendingBatch:
        self._require_version(self._db)
        last_seq = outbox.number_new(self._db)
        end = last_seq if up_to_seq is None else min(up_to_seq, last_seq)
        return outbox.pending(self._db, after_seq, limit, end)

    @wrap_errors
    @override
    def mark_published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        with self._db.transaction():
            self._require_version(self._db)
            outbox.mark_published(self._db, last_seq, self._leader_epoch)
            self._upsert("output_ends", "end_offset", ends)
            reach("before-mark")
        reach("after-mark")

    @override
    def output_ends(self) -> Mapping[TopicPartition, int]:
        ends = self._rows("SELECT topic, partition, end_offset FROM output_ends")
        return {(topic, partition): offset for topic, partition, offset in ends}

    @wrap_errors
    @override
    def keep_receipts(self, ids: Sequence[str], ends: Mapping[TopicPartition, int]) -> None:
        with self._db.transaction():
            self._require_version(self._db)
            outbox.keep_receipts(self._db, ids, self._leader_epoch)
            self._upsert("output_ends", "end_offset", ends)
            reach("before-receipts")
        reach("after-receipts")

    @wrap_errors
    @override
    def prove_writable(self) -> None:
        self._db.execute('UPDATE touched SET "at" = %s', [self._clock()])

    @override
    def maintain(self) -> None:
        pass  # autovacuum does it

    @override
    def reopen(self) -> None:
        self._close()  # but not the leadership, which has a connection of its own
        self._open()

    @override
    def view(self) -> StoreView:
        with self._closing:
            if self._db.closed:
                raise StoreError(f"the store {self.shown} is closed")
            view = PostgresView(self._url, self.shown, self._views.discard)
            self._views.add(view)
        return view

    @override
    def close(self) -> None:
        self._close()
        self._leader_epoch = None
        self._locks.close()

    def _close(self) -> None:
        with self._closing:
            for view in list(self._views):
                view.end()
            self._db.close()
