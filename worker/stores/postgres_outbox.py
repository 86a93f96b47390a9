"""The outbox in PostgreSQL: rows are added by every worker, numbered in the order that counts, and published by one.

Two rows of one customer are in the order of `row_id`: the later batch waited for the earlier one's lock on the customer
before it added its row. So whoever sees the later row sees the earlier one, and numbers it first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worker.outgoing import Outgoing
from worker.records import TopicPartition
from worker.store import PendingBatch, StoreError
from worker.stores import postgres_rows as rows
from worker.stores.postgres_connection import Connection

PENDING_BYTES = 32 * 1024 * 1024
NUMBERED_AT_ONCE = 100_000
IS_PENDING = "coalesce(seq > (SELECT published_seq FROM relay), true) AND NOT receipted"
"""Of a row of the outbox: it is not known as published."""


def add(db: Connection, messages: Sequence[Outgoing], *, is_silent: bool) -> set[str]:
    """Add the rows; the ids of those that have a receipt already. Silent ones pass for such, too."""
    if not messages:
        return set()
    ids = [message.id for message in messages]
    # Receipts are kept before or after this batch, not beside it: they would miss rows that nobody sees yet.
    db.execute("SELECT 1 FROM relay FOR KEY SHARE")
    query = "DELETE FROM receipts WHERE id = ANY(%s) RETURNING id"
    receipted = {message_id for (message_id,) in db.execute(query, [sorted(ids)]).fetchall()}
    columns = "outbox (id, topic, partition, key, value, headers, customer_id, receipted, timestamp_ms)"
    rows.copy(db, columns, rows.outbox(messages, set(ids) if is_silent else receipted))
    return receipted


def number_new(db: Connection) -> int:
    """Give the rows that are committed and have none their numbers; the last number there is."""
    with db.transaction():
        if not db.execute("SELECT 1 FROM outbox WHERE seq IS NULL LIMIT 1").fetchall():
            return int(db.execute("SELECT last_seq FROM relay").fetchall()[0][0])
        # One at a time, and each sees all that was numbered before.
        [(last_seq,)] = db.execute("SELECT last_seq FROM relay FOR NO KEY UPDATE").fetchall()
        query = """
            WITH fresh AS (
                SELECT row_id, row_number() OVER (ORDER BY row_id) AS place
                FROM (SELECT row_id FROM outbox WHERE seq IS NULL ORDER BY row_id LIMIT %s) AS first
            )
            UPDATE outbox SET seq = %s + place FROM fresh WHERE outbox.row_id = fresh.row_id AND outbox.seq IS NULL
        """
        numbered = db.execute(query, [NUMBERED_AT_ONCE, last_seq]).rowcount
        db.execute("UPDATE relay SET last_seq = %s", [last_seq + numbered])
        return int(last_seq) + numbered


def pending(db: Connection, after_seq: int, limit: int, end: int) -> PendingBatch:
    """What is to be published of the rows after `after_seq` up to `end`."""
    if after_seq >= end:
        return PendingBatch(after_seq, [], after_seq)
    query = """
        SELECT coalesce(max(seq) FILTER (WHERE bytes_before < %(bytes)s), %(end)s) FROM (
            SELECT seq, sum(bytes) OVER (ORDER BY seq) - bytes AS bytes_before
            FROM (
                SELECT seq, coalesce(octet_length(value), 0) AS bytes
                FROM outbox WHERE seq > %(after)s AND seq <= %(end)s AND NOT receipted ORDER BY seq LIMIT %(limit)s
            ) AS next
        ) AS counted
    """
    parameters = {"bytes": PENDING_BYTES, "after": after_seq, "end": end, "limit": limit}
    [(last_seq,)] = db.execute(query, parameters).fetchall()
    found = db.execute(
        f"SELECT {rows.OUTGOING_COLUMNS} FROM outbox"
        " WHERE seq > %s AND seq <= %s AND NOT receipted ORDER BY seq".encode(),
        [after_seq, last_seq],
    ).fetchall()
    return PendingBatch(after_seq, list(rows.outgoing(found)), last_seq)


def mark_published(db: Connection, last_seq: int, leader_epoch: int | None) -> None:
    """Set how far the outbox is published. Raises `StoreError` where another worker publishes now."""
    query = "UPDATE relay SET published_seq = %(seq)s WHERE coalesce(leader_epoch = %(epoch)s, true)"
    if not db.execute(query, {"seq": last_seq, "epoch": leader_epoch}).rowcount:
        raise _led_by_another()


def keep_receipts(db: Connection, ids: Sequence[str], leader_epoch: int | None) -> None:
    """Note that these ids are out, whether their rows are here or yet to come."""
    query = "SELECT published_seq FROM relay WHERE coalesce(leader_epoch = %(epoch)s, true) FOR UPDATE"
    held = db.execute(query, {"epoch": leader_epoch}).fetchall()
    if not held:
        raise _led_by_another()
    known = sorted({message_id for message_id in ids if "\0" not in message_id})  # no id of ours; PostgreSQL refuses it
    db.execute(
        "UPDATE outbox SET receipted = true WHERE id = ANY(%s) AND NOT receipted AND (seq IS NULL OR seq > %s)",
        [known, held[0][0]],
    )
    db.execute(
        "INSERT INTO receipts SELECT id FROM unnest(%s::text[]) AS found (id)"
        " WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = found.id) ON CONFLICT DO NOTHING",
        [known],
    )


def upsert(db: Connection, table: str, column: str, offsets: Mapping[TopicPartition, int]) -> None:
    """Set an offset of each of these partitions."""
    query = f"""
        INSERT INTO {table} (topic, partition, {column})
        SELECT topic, partition, place FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS new (topic, partition, place)
        ORDER BY topic, partition
        ON CONFLICT (topic, partition) DO UPDATE SET {column} = excluded.{column}
    """
    topics, partitions = [topic for topic, _ in offsets], [partition for _, partition in offsets]
    db.execute(query.encode(), [topics, partitions, list(offsets.values())])


def _led_by_another() -> StoreError:
    return StoreError("another worker publishes now; this one waits for its turn")
