"""The store in one DuckDB file: the embedded default. One process owns the file, one thread uses it.

What shapes it: ON CONFLICT never uses an index, so what exists is looked up and the rest inserted; one Arrow table a
statement; and checkpoints, which rewrite the whole index, run between batches and seldom.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
from typing_extensions import override

from domain.customer import Customer
from worker.failpoints import reach
from worker.messages.log_identity import LogIdentity, RecordMark
from worker.messages.record import TopicPartition
from worker.stores.duckdb import outbox, rows
from worker.stores.duckdb.batch import BatchTable
from worker.stores.duckdb.columns import CUSTOMER_COLUMNS, PARKED_COLUMNS
from worker.stores.duckdb.file import MEMORY, identity, open_file, wrap_errors
from worker.stores.duckdb.view import DuckDBView
from worker.stores.port import Changes, ParkedRecord, PendingBatch, RecordCoordinates, Redrive, Store
from worker.stores.reading import StoreView
from worker.stores.row_codec import GIVEN_UP, POSITION_LOGS, customer, log_identity, parked_record

CHECKPOINT_AT_WAL_BYTES = 256 * 1024 * 1024
CHECKPOINT_AT_DECISIONS = 500_000
"""A log of so many signups, of 140 bytes each, takes a second to replay after a crash; cancellations take more room."""
LOOKED_UP_ONE_BY_ONE = 200
"""So many ids or fewer are found by the index, 30 µs each; a join reads the whole column, 25 ms at 3 M customers."""
FOUND_BY_ITSELF = 50
"""Of so many or fewer DuckDB makes such a search by itself, out of a join."""


class DuckDBStore(Store):
    """Customers and everything about them in one file at `path`, or in memory for `:memory:`.

    Raises `StoreError` when the file is locked by another process, damaged or of a newer version.
    """

    def __init__(self, path: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock = clock
        self._views: set[DuckDBView] = set()
        self._closing = threading.Lock()
        self._topic_ids: Mapping[TopicPartition, UUID] = {}
        self._open()

    @wrap_errors
    def _open(self) -> None:
        self._db = open_file(self.path)
        self._batch = BatchTable(self._db)
        self._sole_owner_of = identity(self._db, self.path)
        self._seq: int = self._one("SELECT greatest((SELECT max(seq) FROM outbox), published_seq) FROM relay")
        self._parked_seq = self._one("SELECT coalesce(max(seq), 0) FROM parked")
        self._parked_count = self._one("SELECT count(*) FROM parked")
        self._receipts_count = self._one("SELECT count(*) FROM receipts")
        self._published_seq: int = self._one("SELECT published_seq FROM relay")
        self._logged_decisions = 0
        self._given_up = set(map(RecordCoordinates._make, self._db.execute(GIVEN_UP).fetchall()))
        positions = self._db.execute("SELECT topic, partition, next_offset FROM positions").fetchall()
        self._positions = {(topic, partition): offset for topic, partition, offset in positions}

    def _now(self) -> datetime:
        return self._clock().replace(tzinfo=None)

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchall()[0][0]

    def _join(self, query: str, columns: rows.Columns, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run a statement that reads the table `batch`, made of these columns."""
        self._batch.hold(columns)
        return self._db.execute(query, parameters)

    @property
    @override
    def exclusive_id(self) -> str:
        return self._sole_owner_of

    @override
    def begin(self) -> None:
        pass

    @override
    def rollback(self) -> None:
        pass

    @wrap_errors
    @override
    def customers(self, customer_ids: Collection[str]) -> Iterable[Customer]:
        if not customer_ids:
            return []
        query = f"SELECT {CUSTOMER_COLUMNS} FROM customers WHERE customer_id IN "
        if len(customer_ids) <= LOOKED_UP_ONE_BY_ONE:
            found = self._db.execute(query + _ids_given(len(customer_ids)), list(customer_ids))
        else:
            found = self._join(query + "(SELECT id::UUID FROM batch)", rows.ids(customer_ids))
        return [customer(row) for row in found.fetchall()]

    @override
    def active_customers(self) -> Iterator[Customer]:
        return map(customer, self._rows(f"SELECT {CUSTOMER_COLUMNS} FROM customers WHERE churn_date IS NULL"))

    @override
    def lost_arr(self) -> Decimal:
        query = "SELECT sum(arr)::VARCHAR FROM customer_arr WHERE churn_date IS NOT NULL"
        return Decimal(self._rows(query)[0][0] or "0.00")

    @override
    def sample(self, n: int) -> list[Customer]:
        query = f"SELECT {CUSTOMER_COLUMNS} FROM (FROM customers USING SAMPLE reservoir({n:d} ROWS) REPEATABLE (42))"
        return [customer(row) for row in self._rows(query)]

    @wrap_errors
    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._db.execute(query).fetchall()

    @wrap_errors
    @override
    def parked(self, customer_ids: Collection[str]) -> Iterable[ParkedRecord]:
        if not customer_ids or not self._parked_count:
            return []
        query = f"""
            SELECT {PARKED_COLUMNS} FROM parked WHERE customer_id IN (SELECT id::UUID FROM batch) ORDER BY seq
        """
        return [parked_record(row) for row in self._join(query, rows.ids(customer_ids)).fetchall()]

    @wrap_errors
    @override
    def parked_before(self, moment: datetime, limit: int) -> Sequence[ParkedRecord]:
        query = f"SELECT {PARKED_COLUMNS} FROM parked WHERE parked_at < ? ORDER BY seq LIMIT {limit:d}"
        found = self._db.execute(query, [moment.astimezone(UTC).replace(tzinfo=None)]).fetchall()
        return [parked_record(row) for row in found]

    @property
    @override
    def given_up(self) -> AbstractSet[RecordCoordinates]:
        return self._given_up

    @wrap_errors
    @override
    def decided(self, places: Collection[RecordCoordinates]) -> AbstractSet[RecordCoordinates]:
        if not places:
            return set()
        offsets = [offset for _, _, offset in places]
        # The journal has no index. It is in about the order of offsets: most of it is passed over by its bounds.
        query = f"""
            SELECT DISTINCT journal.topic, journal.partition, journal."offset" FROM journal JOIN batch
            ON journal.topic = batch.topic AND journal.partition = batch.partition AND journal."offset" = batch.place
            WHERE journal."offset" BETWEEN {min(offsets)} AND {max(offsets)}
        """
        return set(map(RecordCoordinates._make, self._join(query, rows.places(list(places))).fetchall()))

    @wrap_errors
    @override
    def discard(self, dead_letter_ids: Sequence[str], why: str) -> None:
        self._join("INSERT INTO discards SELECT id, ?, ? FROM batch", rows.ids(dead_letter_ids), [self._now(), why])
        self._given_up = set(map(RecordCoordinates._make, self._db.execute(GIVEN_UP).fetchall()))

    @wrap_errors
    @override
    def commit(self, changes: Changes) -> PendingBatch:
        now = self._now()
        with self._transaction():
            self._write_customers(changes)
            self._write_parked(changes, now)
            self._write_journal(changes, now)
            receipted = outbox.add(
                self._join,
                changes.outbox,
                self._seq,
                is_silent=changes.is_silent,
                has_receipts=self._receipts_count > 0,
            )
            self._write_redrives(changes.redrives)
            self._write_positions(changes.positions, changes.last_records)
            reach("before-commit")
        reach("after-commit")
        pending = PendingBatch(
            after_seq=self._seq,
            messages=[m for m in changes.outbox if m.id not in receipted] if receipted else changes.outbox,
            last_seq=self._seq + len(changes.outbox),
        )
        self._seq = pending.last_seq
        self._logged_decisions += len(changes.journal)
        self._parked_seq += len(changes.parked)
        self._parked_count += len(changes.parked) - len(changes.released) - len(changes.given_up)
        self._given_up.update(changes.given_up)
        self._receipts_count -= len(receipted)
        self._positions.update(changes.positions)
        return pending

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written in the block is durable after it, or nothing is."""
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # a COMMIT that failed has ended the transaction already
                self._db.execute("ROLLBACK")
            raise

    def _write_customers(self, changes: Changes) -> None:
        if changes.new_customers:
            self._join(
                "INSERT INTO customers SELECT id::UUID, industry, plan_tier, signup_date, mrr, churn_date FROM batch",
                rows.new_customers(changes.new_customers.values()),
            )
        if changed := changes.changed_customers:
            query = "UPDATE customers SET churn_date = batch.churn_date FROM batch WHERE customer_id = batch.id::UUID"
            ids: list[str] = []
            if FOUND_BY_ITSELF < len(changed) <= LOOKED_UP_ONE_BY_ONE:
                query += f" AND customer_id IN {_ids_given(len(changed))}"
                ids = list(changed)
            self._join(query, rows.churned_customers(changed.values()), ids)

    def _write_parked(self, changes: Changes, now: datetime) -> None:
        if changes.parked:
            self._join(
                "INSERT INTO parked SELECT seq, customer_id::UUID, topic, partition, place, timestamp_ms,"
                " key, value, headers, parked_at FROM batch",
                rows.parked(changes.parked.values(), self._parked_seq, now),
            )
        if gone := changes.released + changes.given_up:
            self._join(
                "DELETE FROM parked USING batch WHERE parked.topic = batch.topic"
                ' AND parked.partition = batch.partition AND parked."offset" = batch.place',
                rows.places(gone),
            )

    def _write_journal(self, changes: Changes, now: datetime) -> None:
        if changes.journal:
            self._join(
                'INSERT INTO journal SELECT "at", topic, partition, place, customer_id::UUID, outcome, reason,'
                " event_id::UUID FROM batch",
                rows.journal(changes.journal, now),
            )

    def _write_redrives(self, redrives: Sequence[Redrive]) -> None:
        if redrives:
            self._join(
                "INSERT INTO redrives SELECT id, topic, partition, place, digest FROM batch", rows.redrives(redrives)
            )

    def _write_positions(
        self, positions: Mapping[TopicPartition, int], last_records: Mapping[TopicPartition, RecordMark]
    ) -> None:
        known = {partition: offset for partition, offset in positions.items() if partition in self._positions}
        if known:  # twice as fast as an upsert, and nearly every batch has these alone
            self._join(
                "UPDATE positions SET next_offset = batch.place,"
                " record_offset = coalesce(batch.record_offset, positions.record_offset),"
                " record_fingerprint = coalesce(batch.record_fingerprint, positions.record_fingerprint) FROM batch"
                " WHERE positions.topic = batch.topic AND positions.partition = batch.partition",
                rows.positions(known, last_records),
            )
        if len(known) < len(positions):
            new = {partition: offset for partition, offset in positions.items() if partition not in known}
            self._join(
                "INSERT INTO positions SELECT topic, partition, place, topic_id::UUID, record_offset,"
                " record_fingerprint FROM batch",
                rows.positions(new, last_records, self._topic_ids),
            )

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        return self._positions

    @wrap_errors
    @override
    def forget_position(self, partition: TopicPartition, next_offset: int) -> None:
        topic, number = partition
        self._db.execute(
            "UPDATE positions SET next_offset = ?, topic_id = NULL, record_offset = NULL, record_fingerprint = NULL"
            " WHERE topic = ? AND partition = ?",
            [next_offset, topic, number],
        )
        self._positions[partition] = next_offset

    @override
    def logs(self) -> Mapping[TopicPartition, LogIdentity]:
        return {(topic, partition): log_identity(*log) for topic, partition, *log in self._rows(POSITION_LOGS)}

    @wrap_errors
    @override
    def identify_logs(self, topic_ids: Mapping[TopicPartition, UUID]) -> None:
        self._topic_ids = topic_ids
        query = "UPDATE positions SET topic_id = ? WHERE topic = ? AND partition = ? AND topic_id IS NULL"
        for place, log in self.logs().items():
            if log.topic_id is None and place in topic_ids:
                self._db.execute(query, [topic_ids[place], *place])

    @property
    @override
    def last_seq(self) -> int:
        return self._seq

    @property
    @override
    def published_seq(self) -> int:
        return self._published_seq

    @property
    @override
    def unpublished(self) -> int:
        query = f"SELECT count(*) FROM outbox WHERE seq > {self._published_seq} AND NOT receipted"
        return int(self._rows(query)[0][0])

    @wrap_errors
    @override
    def pending(self, after_seq: int, limit: int, up_to_seq: int | None = None) -> PendingBatch:
        end = self._seq if up_to_seq is None else min(up_to_seq, self._seq)
        return outbox.pending(self._db, after_seq, limit, end)

    @wrap_errors
    @override
    def mark_published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        with self._transaction():
            self._db.execute("UPDATE relay SET published_seq = ?", [last_seq])
            outbox.set_ends(self._join, ends)
            reach("before-mark")
        reach("after-mark")
        self._published_seq = last_seq

    @wrap_errors
    @override
    def output_ends(self) -> Mapping[TopicPartition, int]:
        ends = self._db.execute("SELECT topic, partition, end_offset FROM output_ends").fetchall()
        return {(topic, partition): offset for topic, partition, offset in ends}

    @wrap_errors
    @override
    def keep_receipts(self, ids: Sequence[str], ends: Mapping[TopicPartition, int]) -> None:
        with self._transaction():
            outbox.keep_receipts(self._join, ids, self._published_seq)
            outbox.set_ends(self._join, ends)
            reach("before-receipts")
        reach("after-receipts")
        self._receipts_count = self._one("SELECT count(*) FROM receipts")

    @wrap_errors
    @override
    def prove_writable(self) -> None:
        self._db.execute('UPDATE touched SET "at" = ?', [self._now()])  # a value that stays the same is not written

    @wrap_errors
    @override
    def maintain(self) -> None:
        if not self._is_checkpoint_due():
            return
        reach("before-checkpoint")
        with suppress(duckdb.TransactionException):  # a view needs what it would overwrite: it is due again soon
            self._db.execute("CHECKPOINT")
            self._logged_decisions = 0
        reach("after-checkpoint")

    def _is_checkpoint_due(self) -> bool:
        wal = Path(f"{self.path}.wal")
        if self.path == MEMORY or not wal.exists():
            return False
        return self._logged_decisions > CHECKPOINT_AT_DECISIONS or wal.stat().st_size > CHECKPOINT_AT_WAL_BYTES

    @override
    def reopen(self) -> None:
        if self.path == MEMORY:
            return  # closing it would lose it
        self.close()
        self._open()

    @wrap_errors
    @override
    def view(self) -> StoreView:
        with self._closing:
            view = DuckDBView(self._db.cursor(), self.path, self._views.discard)
            self._views.add(view)
        return view

    @override
    def close(self) -> None:
        with self._closing:
            for view in list(self._views):
                view.end()  # an open one would keep the database as it is, be it invalid
            with suppress(duckdb.Error):  # an invalidated database is closed by letting go of it
                self._db.close()


def _ids_given(count: int) -> str:
    return f"({', '.join(['?::UUID'] * count)})"
