"""The outbox in DuckDB: rows are numbered as they are added, and published in that order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import duckdb
from typing_extensions import override

from worker.failpoints import reach
from worker.messages.outgoing import Outgoing
from worker.messages.record import TopicPartition
from worker.stores.changes import PendingBatch
from worker.stores.duckdb import rows
from worker.stores.duckdb.batch import Join
from worker.stores.duckdb.file import wrap_errors
from worker.stores.duckdb.session import DuckDBSession
from worker.stores.port import OutboxStore
from worker.stores.row_codec import outgoing

PENDING_BYTES = 32 * 1024 * 1024


def add(
    join: Join, messages: Sequence[Outgoing], after_seq: int, now: datetime, *, is_silent: bool, has_receipts: bool
) -> set[str]:
    """Add the rows; returns the ids of those that have a receipt. Silent rows count as published, too."""
    if not messages:
        return set()
    ids = [message.id for message in messages]
    receipted: set[str] = set()
    if has_receipts:
        query = "DELETE FROM receipts WHERE id IN (SELECT id FROM batch) RETURNING id"
        receipted = {message_id for (message_id,) in join(query, rows.ids(ids)).fetchall()}
    join(
        "INSERT INTO outbox SELECT seq, id, topic, partition, key, value, headers, customer_id::UUID, receipted,"
        " timestamp_ms, source_topic, source_partition, source_offset, ? FROM batch",
        rows.outbox(messages, after_seq, set(ids) if is_silent else receipted),
        [now],
    )
    return receipted


def pending(db: duckdb.DuckDBPyConnection, after_seq: int, limit: int, end: int) -> PendingBatch:
    """Return the messages to be published among the rows after `after_seq` up to `end`."""
    if after_seq >= end:
        return PendingBatch(after_seq, [], after_seq)
    query = f"""
        SELECT coalesce(max(seq) FILTER (bytes_before < {PENDING_BYTES}), {end}) FROM (
            SELECT seq, sum(bytes) OVER (ORDER BY seq) - bytes AS bytes_before
            FROM (
                SELECT seq, coalesce(octet_length(value), 0) AS bytes
                FROM outbox WHERE seq > {after_seq} AND seq <= {end} AND NOT receipted ORDER BY seq LIMIT {limit:d}
            )
        )
    """
    [(last_seq,)] = db.execute(query).fetchall()
    found = db.execute(
        "SELECT id, topic, partition, key, value, headers, customer_id::VARCHAR, timestamp_ms FROM outbox"
        " WHERE seq > ? AND seq <= ? AND NOT receipted ORDER BY seq",
        [after_seq, last_seq],
    ).fetchall()
    return PendingBatch(after_seq, list(map(outgoing, found)), last_seq)


def keep_receipts(join: Join, ids: Sequence[str], published_seq: int) -> None:
    """Record that these ids are published, for existing rows and for rows added later."""
    columns = rows.ids(ids)
    join(
        f"UPDATE outbox SET receipted = true FROM batch WHERE outbox.id = batch.id AND outbox.seq > {published_seq}",
        columns,
    )
    join(
        "INSERT INTO receipts SELECT DISTINCT id FROM batch WHERE id NOT IN (SELECT id FROM outbox)"
        " AND id NOT IN (SELECT id FROM receipts)",
        columns,
    )


class DuckDBOutbox(DuckDBSession, OutboxStore):
    """The outbox in DuckDB."""

    @property
    @override
    def last_seq(self) -> int:
        return self._seq

    @property
    @override
    def published_seq(self) -> int:
        return self._progress.published_seq

    @property
    @override
    def unpublished(self) -> int:
        query = f"SELECT count(*) FROM outbox WHERE seq > {self.published_seq} AND NOT receipted"
        return int(self._rows(query)[0][0])

    @wrap_errors
    @override
    def pending(self, after_seq: int, limit: int, up_to_seq: int | None = None) -> PendingBatch:
        end = self._seq if up_to_seq is None else min(up_to_seq, self._seq)
        return pending(self._db, after_seq, limit, end)

    @override
    def mark_published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        self._progress = self._progress.marked(last_seq, ends)

    @wrap_errors
    @override
    def write_mark(self) -> None:
        if self._has_mark:
            with self._saving(self._progress):
                pass

    @override
    def output_ends(self) -> Mapping[TopicPartition, int]:
        return self._progress.ends

    @wrap_errors
    @override
    def keep_receipts(self, ids: Sequence[str], ends: Mapping[TopicPartition, int]) -> None:
        with self._saving(self._progress.marked(self.published_seq, ends)):
            keep_receipts(self._join, ids, self.published_seq)
            reach("before-receipts")
        reach("after-receipts")
        self._receipts_count = self._one("SELECT count(*) FROM receipts")
