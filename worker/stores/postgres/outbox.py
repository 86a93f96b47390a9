"""The outbox in PostgreSQL: rows are added by every worker, numbered in commit order, and published by the leader.

Commits are numbered, not rows: one narrow row is updated for thousands that stay unchanged. Two rows of one customer
are in the order of their commits' numbers: the later batch waited for the earlier one's lock on the customer before it
took its number. A transaction that sees the later commit also sees the earlier one, and numbers it first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from typing_extensions import override

from worker.failpoints import reach
from worker.messages.outgoing import Outgoing
from worker.messages.record import TopicPartition
from worker.stores.changes import PendingBatch
from worker.stores.errors import StoreError
from worker.stores.port import OutboxStore
from worker.stores.postgres import rows
from worker.stores.postgres.connection import Connection, wrap_errors
from worker.stores.postgres.store_session import NOBODY, PostgresSession
from worker.stores.row_codec import outgoing

PENDING_BYTES = 32 * 1024 * 1024
COMMITS_AT_ONCE = 10_000
NUMBERED = "outbox JOIN outbox_commits USING (commit_id)"
IS_PENDING = "coalesce(seq_before + place > (SELECT published_seq FROM relay), true) AND NOT receipted"
"""Of a row of `NUMBERED`: it is not known as published."""


def add(db: Connection, messages: Sequence[Outgoing], now: datetime, *, is_silent: bool) -> set[str]:
    """Add the rows; returns the ids of those that have a receipt. Silent rows count as published, too.

    The batch must hold its locks: the commit's number then follows those of the commits that it waited for.
    """
    if not messages:
        return set()
    # Receipts are kept before or after this batch, not concurrently: they would miss rows that are not visible yet.
    db.execute("SELECT 1 FROM relay FOR KEY SHARE")
    receipted: set[str] = set()
    if db.execute("SELECT 1 FROM receipts LIMIT 1").fetchall():  # of a store that was lost or put back
        query = "DELETE FROM receipts WHERE id = ANY(%s) RETURNING id"
        receipted = {message_id for (message_id,) in db.execute(query, [sorted(m.id for m in messages)]).fetchall()}
    query = "INSERT INTO outbox_commits (last_place) VALUES (%s) RETURNING commit_id"
    [(commit_id,)] = db.execute(query, [len(messages)]).fetchall()
    are_out = {message.id for message in messages} if is_silent else receipted
    rows.copy_binary(db, rows.OUTBOX, rows.OUTBOX_TYPES, rows.outbox(commit_id, messages, are_out, now))
    return receipted


def number_new(db: Connection) -> int:
    """Assign numbers to the visible commits without one; returns the number of the last row."""
    with db.transaction():
        if not db.execute("SELECT 1 FROM outbox_commits WHERE seq_before IS NULL LIMIT 1").fetchall():
            return int(db.execute("SELECT last_seq FROM relay").fetchall()[0][0])
        # One at a time, and each sees all that was numbered before.
        [(last_seq,)] = db.execute("SELECT last_seq FROM relay FOR NO KEY UPDATE").fetchall()
        query = """
            WITH fresh AS (
                SELECT commit_id, %s + sum(last_place) OVER (ORDER BY commit_id) - last_place AS seq_before
                FROM (
                    SELECT commit_id, last_place FROM outbox_commits
                    WHERE seq_before IS NULL ORDER BY commit_id LIMIT %s
                ) AS first
            )
            UPDATE outbox_commits SET seq_before = fresh.seq_before FROM fresh
            WHERE outbox_commits.commit_id = fresh.commit_id RETURNING fresh.seq_before + last_place
        """
        ends = db.execute(query, [last_seq, COMMITS_AT_ONCE]).fetchall()
        last_seq = max([int(last_seq), *(int(end) for (end,) in ends)])
        db.execute("UPDATE relay SET last_seq = %s", [last_seq])
        return last_seq


def pending(db: Connection, after_seq: int, limit: int, end: int) -> PendingBatch:
    """Return the messages to be published among the rows after `after_seq` up to `end`.

    The rows of each commit are queried separately: a join of commits and rows would get a bad plan while tables that
    have just grown have no statistics.
    """
    messages: list[Outgoing] = []
    last_seq, bytes_left = after_seq, PENDING_BYTES
    for commit_id, seq_before, last_place in _commits(db, after_seq, end) if after_seq < end else []:
        first, last = max(0, after_seq - seq_before), min(last_place, end - seq_before)
        wanted = [commit_id, first, last, limit - len(messages), bytes_left]
        found = db.execute(_ROWS, wanted, binary=True).fetchall()
        messages += [outgoing(row[1:]) for row in found]
        bytes_left -= sum(len(message.value or b"") for message in messages[len(messages) - len(found) :])
        if len(messages) == limit or bytes_left <= 0:
            return PendingBatch(after_seq, messages, seq_before + found[-1][0])
        last_seq = seq_before + last
    return PendingBatch(after_seq, messages, last_seq)


def _commits(db: Connection, after_seq: int, end: int) -> Sequence[tuple[Any, ...]]:
    """Return the commits that have rows after `after_seq` up to `end`, in order: number, rows before, last place."""
    query = """
        SELECT commit_id, seq_before, last_place FROM outbox_commits
        WHERE seq_before < %(end)s AND seq_before >= coalesce(
            (SELECT max(seq_before) FROM outbox_commits WHERE seq_before <= %(after)s), 0
        )
        ORDER BY seq_before LIMIT %(limit)s
    """
    return db.execute(query, {"after": after_seq, "end": end, "limit": COMMITS_AT_ONCE}).fetchall()


_ROWS = f"""
SELECT place, {rows.OUTGOING_COLUMNS} FROM (
    SELECT *, sum(bytes) OVER (ORDER BY place) - bytes AS bytes_before FROM (
        SELECT *, coalesce(octet_length(value), 0) AS bytes FROM outbox
        WHERE commit_id = %s AND place > %s AND place <= %s AND NOT receipted ORDER BY place LIMIT %s
    ) AS next
) AS counted
WHERE bytes_before < %s ORDER BY place
""".encode()


def mark_published(db: Connection, last_seq: int, leader_epoch: int | None) -> None:
    """Set the last published row. Raises `StoreError` if another worker is the leader now."""
    query = "UPDATE relay SET published_seq = %(seq)s WHERE coalesce(leader_epoch = %(epoch)s, true)"
    if not db.execute(query, {"seq": last_seq, "epoch": leader_epoch}).rowcount:
        raise _led_by_another()


def keep_receipts(db: Connection, ids: Sequence[str], leader_epoch: int | None) -> None:
    """Record that these ids are published, for existing rows and for rows added later."""
    query = "SELECT published_seq FROM relay WHERE coalesce(leader_epoch = %(epoch)s, true) FOR UPDATE"
    held = db.execute(query, {"epoch": leader_epoch}).fetchall()
    if not held:
        raise _led_by_another()
    known = sorted({message_id for message_id in ids if "\0" not in message_id})  # no id of ours; PostgreSQL refuses it
    db.execute(
        "UPDATE outbox SET receipted = true FROM outbox_commits WHERE outbox_commits.commit_id = outbox.commit_id"
        " AND id = ANY(%s) AND NOT receipted AND coalesce(seq_before + place > %s, true)",
        [known, held[0][0]],
    )
    db.execute(
        "INSERT INTO receipts SELECT id FROM unnest(%s::text[]) AS found (id)"
        " WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = found.id) ON CONFLICT DO NOTHING",
        [known],
    )


def _set_ends(db: Connection, ends: Mapping[TopicPartition, int]) -> None:
    if not ends:
        return
    query = """
        INSERT INTO output_ends (topic, partition, end_offset)
        SELECT topic, partition, place FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS new (topic, partition, place)
        ORDER BY topic, partition
        ON CONFLICT (topic, partition) DO UPDATE SET end_offset = excluded.end_offset
    """
    topics, partitions = [topic for topic, _ in ends], [partition for _, partition in ends]
    db.execute(query, [topics, partitions, list(ends.values())])


def _led_by_another() -> StoreError:
    return StoreError("another worker is the leader now, or this one has connected to the store again")


class PostgresOutbox(PostgresSession, OutboxStore):
    """The outbox in PostgreSQL. Only the leader marks rows as published and keeps receipts."""

    @property
    @override
    def last_seq(self) -> int:
        return self._number_new()

    @wrap_errors
    def _number_new(self) -> int:
        return number_new(self._db)

    @property
    @override
    def published_seq(self) -> int:
        return int(self._rows("SELECT published_seq FROM relay")[0][0])

    @property
    @override
    def unpublished(self) -> int:
        return int(self._rows(f"SELECT count(*) FROM {NUMBERED} WHERE {IS_PENDING}")[0][0])

    @wrap_errors
    @override
    def pending(self, after_seq: int, limit: int, up_to_seq: int | None = None) -> PendingBatch:
        self._require_version(self._db)
        if self._leader_epoch == NOBODY:
            raise _led_by_another()
        last_seq = number_new(self._db)
        end = last_seq if up_to_seq is None else min(up_to_seq, last_seq)
        return pending(self._db, after_seq, limit, end)

    @wrap_errors
    @override
    def mark_published(self, last_seq: int, ends: Mapping[TopicPartition, int]) -> None:
        epoch = self._leader_epoch  # before any wait: the mark of an ended leadership is not one of the next
        with self._db.transaction():
            self._require_version(self._db)
            mark_published(self._db, last_seq, epoch)
            _set_ends(self._db, ends)
            reach("before-mark")
        reach("after-mark")

    @override
    def write_mark(self) -> None:
        pass  # marks are written at once

    @override
    def output_ends(self) -> Mapping[TopicPartition, int]:
        ends = self._rows("SELECT topic, partition, end_offset FROM output_ends")
        return {(topic, partition): offset for topic, partition, offset in ends}

    @wrap_errors
    @override
    def keep_receipts(self, ids: Sequence[str], ends: Mapping[TopicPartition, int]) -> None:
        epoch = self._leader_epoch
        with self._db.transaction():
            self._require_version(self._db)
            keep_receipts(self._db, ids, epoch)
            _set_ends(self._db, ends)
            reach("before-receipts")
        reach("after-receipts")
