"""Commits of a batch to DuckDB: everything that it changed in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from worker.failpoints import reach
from worker.stores.changes import Changes, Committed, RecordCoordinates, Redrive
from worker.stores.duckdb import outbox, rows
from worker.stores.duckdb.file import wrap_errors
from worker.stores.duckdb.reads import DuckDBReads
from worker.stores.row_codec import ABANDONED


class DuckDBBatches(DuckDBReads):
    """The batches: their reads and commits."""

    @override
    def rollback(self) -> None:
        pass  # the rows that a batch has read are not kept

    @wrap_errors
    @override
    def discard(self, dead_letter_ids: Sequence[str], why: str) -> None:
        self._join("INSERT INTO discards SELECT id, ?, ? FROM batch", rows.ids(dead_letter_ids), [self._now(), why])
        self._abandoned = set(map(RecordCoordinates._make, self._db.execute(ABANDONED).fetchall()))

    @wrap_errors
    @override
    def commit(self, changes: Changes) -> Committed:
        now = self._now()
        progress = self._progress
        if changes.positions:
            progress = progress.advanced(changes.positions, changes.last_records, self._topic_ids)
        with self._saving(progress):
            self._write_customers(changes, now)
            self._write_parked(changes, now)
            self._write_journal(changes, now)
            receipted = outbox.add(
                self._join,
                changes.outbox,
                self._seq,
                now,
                is_silent=changes.is_silent,
                has_receipts=self._receipts_count > 0,
            )
            self._write_redrives(changes.redrives)
            reach("before-commit")
        reach("after-commit")
        numbers = range(self._seq + 1, self._seq + len(changes.outbox) + 1)
        self._seq += len(numbers)
        self._logged_decisions += len(changes.new_customers) + len(changes.outbox) + len(changes.journal)
        self._parked_seq += len(changes.parked)
        self._parked_count += len(changes.parked) - len(changes.released) - len(changes.abandoned)
        self._abandoned.update(changes.abandoned)
        self._receipts_count -= len(receipted)
        messages = [m for m in changes.outbox if m.id not in receipted] if receipted else changes.outbox
        return Committed(messages, numbers)

    def _write_customers(self, changes: Changes, now: datetime) -> None:
        if changes.new_customers:
            self._join(
                "INSERT INTO customers SELECT id::UUID, industry, plan_tier, signup_date, mrr, churn_date,"
                " source_topic, source_partition, source_offset, ? FROM batch",
                rows.new_customers(changes.new_customers, changes.signups),
                [now],
            )
        if changed := changes.changed_customers:
            self._join(
                "UPDATE customers SET churn_date = batch.churn_date FROM batch WHERE customer_id = batch.id::UUID",
                rows.churned_customers(changed),
            )

    def _write_parked(self, changes: Changes, now: datetime) -> None:
        if changes.parked:
            self._join(
                "INSERT INTO parked SELECT seq, customer_id::UUID, topic, partition, place, timestamp_ms,"
                " key, value, headers, parked_at FROM batch",
                rows.parked(changes.parked.values(), self._parked_seq, now),
            )
        if gone := changes.released + changes.abandoned:
            self._join(
                "DELETE FROM parked USING batch WHERE parked.topic = batch.topic"
                ' AND parked.partition = batch.partition AND parked."offset" = batch.place',
                rows.coordinates(gone),
            )

    def _write_journal(self, changes: Changes, now: datetime) -> None:
        if changes.journal:
            self._join(
                "INSERT INTO decisions SELECT ?, topic, partition, place, customer_id::UUID, outcome, reason, NULL"
                " FROM batch",
                rows.journal(changes.journal),
                [now],
            )

    def _write_redrives(self, redrives: Sequence[Redrive]) -> None:
        if redrives:
            self._join(
                "INSERT INTO redrives SELECT id, topic, partition, place, digest FROM batch", rows.redrives(redrives)
            )
