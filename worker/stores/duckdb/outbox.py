"""The outbox in DuckDB: rows are numbered as they are added, and published in that order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from worker.messages.outgoing import Outgoing
from worker.messages.record import TopicPartition
from worker.stores.duckdb import rows
from worker.stores.duckdb.batch import Join
from worker.stores.port import PendingBatch
from worker.stores.row_codec import decode_headers

PENDING_BYTES = 32 * 1024 * 1024


def add(join: Join, messages: Sequence[Outgoing], after_seq: int, *, is_silent: bool, has_receipts: bool) -> set[str]:
    """Add the rows; the ids of those that have a receipt already. Silent ones pass for such, too."""
    if not messages:
        return set()
    ids = [message.id for message in messages]
    receipted: set[str] = set()
    if has_receipts:
        query = "DELETE FROM receipts WHERE id IN (SELECT id FROM batch) RETURNING id"
        receipted = {message_id for (message_id,) in join(query, rows.ids(ids)).fetchall()}
    join(
        "INSERT INTO outbox SELECT seq, id, topic, partition, key, value, headers, customer_id::UUID, receipted,"
        " timestamp_ms FROM batch",
        rows.outbox(messages, after_seq, set(ids) if is_silent else receipted),
    )
    return receipted


def pending(db: duckdb.DuckDBPyConnection, after_seq: int, limit: int, end: int) -> PendingBatch:
    """What is to be published of the rows after `after_seq` up to `end`."""
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
    messages = [
        Outgoing(message_id, topic, partition, key, value, decode_headers(headers), customer_id, timestamp)
        for message_id, topic, partition, key, value, headers, customer_id, timestamp in found
    ]
    return PendingBatch(after_seq, messages, last_seq)


def keep_receipts(join: Join, ids: Sequence[str], published_seq: int) -> None:
    """Note that these ids are out, whether their rows are here or yet to come."""
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


def set_ends(join: Join, ends: Mapping[TopicPartition, int]) -> None:
    """Set up to where each of these output partitions is accounted for."""
    if not ends:
        return
    join(
        "INSERT INTO output_ends SELECT topic, partition, place FROM batch"
        " ON CONFLICT (topic, partition) DO UPDATE SET end_offset = excluded.end_offset",
        rows.offsets(ends),
    )
