"""Commits of a batch to PostgreSQL: one short READ COMMITTED transaction.

Under locks, it checks again the rows that the batch has read. All transactions take locks in one order (positions,
gate, customers by id), so that there are no deadlocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from typing_extensions import override

from worker.failpoints import reach
from worker.messages.log_identity import RecordMark
from worker.messages.record import TopicPartition
from worker.stores.changes import Changes, Committed
from worker.stores.postgres import checks, outbox, rows
from worker.stores.postgres.connection import wrap_errors
from worker.stores.postgres.reads import PostgresReads


class PostgresBatches(PostgresReads):
    """The batches: their reads and commits."""

    @wrap_errors
    @override
    def discard(self, dead_letter_ids: Sequence[str], why: str) -> None:
        query = 'INSERT INTO discards (dead_letter_id, "at", why) SELECT unnest(%s::text[]), %s, %s'
        self._db.execute(query, [list(dead_letter_ids), self._clock(), why])

    @wrap_errors
    @override
    def commit(self, changes: Changes) -> Committed:
        now = self._clock()
        with self._db.transaction():
            self._require_version(self._db)
            self._check(changes)
            self._write_customers(changes, now)
            self._write_parked(changes, now)
            if changes.journal:
                rows.copy_binary(self._db, rows.DECISIONS, rows.DECISIONS_TYPES, rows.decisions(changes.journal, now))
            receipted = outbox.add(self._db, changes.outbox, now, is_silent=changes.is_silent)
            columns = 'redrives (dead_letter_id, topic, partition, "offset", value_sha256)'
            self._copy(columns, changes.redrives)
            self._write_positions(changes.positions, changes.last_records)
            reach("before-commit")
        reach("after-commit")
        self._claims.committed(changes.positions)
        self._read = {}
        # The relay that leads, perhaps another worker's, numbers the rows.
        return Committed([message for message in changes.outbox if message.id not in receipted], rows=None)

    def _check(self, changes: Changes) -> None:
        undecided = {(topic, partition) for topic, partition, _ in changes.undecided}
        if changes.positions or undecided:
            checks.require_ownership(self._db, changes.positions, self._read, self._claims, undecided)
        checks.require_undecided(self._db, changes)
        checks.pass_gate(self._db, self._locks, changes)
        checks.lock_changed(self._db, changes)
        checks.take_parked(self._db, changes)

    def _write_customers(self, changes: Changes, now: datetime) -> None:
        if new := changes.new_customers.values():
            with_sources = rows.new_customers(new, changes.signups, now)
            rows.copy_binary(self._db, rows.CUSTOMERS, rows.CUSTOMERS_TYPES, with_sources)
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
