"""A view of a DuckDB store, read while its worker runs: a separate connection in one read-only transaction."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
from typing_extensions import override

from domain.customer import Customer
from worker.messages.record import TopicPartition
from worker.stores.churns import ChurnPair, PublishedPosition, StoreDays
from worker.stores.dead_letters import Filters, StoredLetter, StoredRecord, WaitingLetter
from worker.stores.duckdb import churns
from worker.stores.duckdb import dead_letters as letters
from worker.stores.duckdb.columns import CUSTOMER_COLUMNS, PARKED_COLUMNS
from worker.stores.duckdb.file import MEMORY, open_to_read, wrap_errors
from worker.stores.duckdb.public_tables import DuckDBPublicTables
from worker.stores.errors import StoreError
from worker.stores.reading import Decision, ParkedSince, ParkedTotals, StoreTotals, StoreView, Waiting
from worker.stores.row_codec import customer, parked_record

END_SECONDS = 5.0


def open_view(path: str) -> StoreView:
    """Open the store at `path` for reading. Raises `StoreError`, `StoreInUseError` if another process has it open."""
    return DuckDBView(open_to_read(path), path, lambda _: None)


class DuckDBView(DuckDBPublicTables):
    """A snapshot of `db` at its first query. `db` belongs to the view; `closed` is called when the view is closed."""

    def __init__(self, db: duckdb.DuckDBPyConnection, path: str, closed: Callable[[DuckDBView], object]) -> None:
        self.path = path
        self._db = db
        self._told_closed = closed
        self._is_closed = threading.Event()
        self._close: Callable[[], object] | None = None
        try:
            self._db.execute("BEGIN TRANSACTION READ ONLY")
        except duckdb.Error:
            self.close()
            raise

    @wrap_errors
    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(query, list(parameters)).fetchall()

    @override
    def totals(self) -> StoreTotals:
        [(customers, churned)] = self._rows("SELECT count(*), count(churn_date) FROM customers")
        [(pending, first_pending)] = self._rows(f"SELECT count(*), min(seq) FROM outbox WHERE {_IS_PENDING}")
        return StoreTotals(
            customers=customers,
            churned=churned,
            decisions=dict(self._rows("SELECT outcome, count(*) FROM journal GROUP BY outcome")),
            parked=self.parked_totals(),
            outgoing=dict(self._rows("SELECT topic, count(*) FROM outbox GROUP BY topic")),
            pending=pending,
            pending_since=None if first_pending is None else self._decided_at(first_pending),
            size_bytes=_size(self.path),
        )

    def _decided_at(self, seq: int) -> datetime | None:
        """Return the time of the decision that this row of the outbox comes from.

        Rows from before version 4 have no time: it is that of their decision.
        """
        [(message_id, at)] = self._rows("SELECT id, decided_at FROM outbox WHERE seq = ?", [seq])
        if at is not None:
            return _utc(at)
        if (letter := _LETTER_ID(message_id)) is None:
            [(at,)] = self._rows('SELECT max("at") FROM decisions WHERE event_id = try_cast(? AS UUID)', [message_id])
        else:
            query = 'SELECT max("at") FROM decisions WHERE topic = ? AND partition = ? AND "offset" = ?'
            [(at,)] = self._rows(query, [letter[1], int(letter[2]), int(letter[3])])
        return _utc(at)

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        found = self._rows("SELECT topic, partition, next_offset FROM positions")
        return {(topic, partition): offset for topic, partition, offset in found}

    @override
    def customer(self, customer_id: str) -> Customer | None:
        found = self._rows(f"SELECT {CUSTOMER_COLUMNS} FROM customers WHERE customer_id = ?::UUID", [customer_id])
        return customer(found[0]) if found else None

    @override
    def decisions(self, customer_id: str) -> Sequence[Decision]:
        query = """
            SELECT "at", topic, partition, "offset", outcome, reason, event_id::VARCHAR
            FROM journal WHERE customer_id = ?::UUID
            ORDER BY "at", outcome <> 'parked', outcome <> 'applied', event_id IS NOT NULL, "offset"
        """
        return [Decision(at.replace(tzinfo=UTC), *row) for at, *row in self._rows(query, [customer_id])]

    @override
    def published(self, event_ids: Sequence[str]) -> Mapping[str, bool]:
        query = f"SELECT id, NOT ({_IS_PENDING}) FROM outbox WHERE list_contains(?, id)"
        return dict(self._rows(query, [list(event_ids)]))

    @override
    def parked_totals(self, before: datetime | None = None) -> ParkedTotals:
        [(records, customers, since)] = self._rows(_PARKED_TOTALS, [_without_zone(before)])
        return ParkedTotals(records, customers, _utc(since))

    @override
    def parked(
        self, *, customer_id: str | None = None, before: datetime | None = None, customers: int | None = None
    ) -> Sequence[ParkedSince]:
        found = self._rows(_PARKED, [_without_zone(before), customer_id, customers])
        return [ParkedSince(*parked_record(row[:-1]), row[-1].replace(tzinfo=UTC)) for row in found]

    @wrap_errors
    @override
    def dead_letters(self, sources: Mapping[str, str], filters: Filters) -> list[StoredLetter]:
        return letters.letters(self._db, sources, filters)

    @wrap_errors
    @override
    def letter_records(
        self, seqs: Sequence[int], *, up_to_bytes: int, largest_value: int | None = None
    ) -> list[StoredRecord]:
        return letters.letter_records(self._db, seqs, up_to_bytes=up_to_bytes, largest_value=largest_value)

    @wrap_errors
    @override
    def published_up_to(self, topic: str) -> PublishedPosition:
        return churns.published_up_to(self._db, topic)

    @wrap_errors
    @override
    def churn_days(
        self, topic: str, published_seq: int, since: date, until: date, *, pending_at_most: int
    ) -> StoreDays:
        return StoreDays(
            churns.churn_days(self._db, topic, published_seq, since, until),
            churns.pending_churns(self._db, topic, published_seq, pending_at_most),
            self._rows("SELECT count(*) FROM receipts")[0][0],
        )

    @wrap_errors
    @override
    def churn_pairs(self, topic: str, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
        return churns.churn_pairs(self._db, topic, published_seq, days)

    @override
    def waiting(self) -> Waiting:
        [(parked, parked_since)] = self._rows("SELECT count(*), min(parked_at) FROM parked")
        [(pending, first_pending)] = self._rows(f"SELECT count(*), min(seq) FROM outbox WHERE {_IS_PENDING}")
        pending_since = None if first_pending is None else self._decided_at(first_pending)
        return Waiting(parked, _utc(parked_since), pending, pending_since)

    @wrap_errors
    @override
    def waiting_letters(self, sources: Mapping[str, str]) -> list[WaitingLetter]:
        return letters.waiting_letters(self._db, sources)

    @override
    def size_bytes(self) -> int | None:
        return _size(self.path)

    @override
    def when_ended(self, close: Callable[[], object]) -> None:
        self._close = close

    @override
    def interrupt(self) -> None:
        with suppress(duckdb.Error):  # raised if the view is closed
            self._db.interrupt()

    @override
    def close(self) -> None:
        self._db.close()
        self._is_closed.set()
        self._told_closed(self)

    def end(self) -> None:
        """Interrupt queries until the view is closed. May be called from any thread.

        Raises `StoreError` if it is not closed in time.
        """
        if self._close is not None:
            self._close()
        for _ in range(int(END_SECONDS / 0.05)):
            self.interrupt()
            if self._is_closed.wait(0.05):
                return
        raise StoreError(f"the store {self.path} cannot be closed: a query does not end. Retry later")


_LETTER_ID = re.compile("(.+)/([0-9]+)/([0-9]+)@.*").fullmatch
_IS_PENDING = "seq > (SELECT published_seq FROM relay) AND NOT receipted"
_WAITING = """
    SELECT customer_id, count(*) AS records, min(parked_at) AS since, min(seq) AS first
    FROM parked GROUP BY customer_id HAVING min(parked_at) < coalesce(?, TIMESTAMP 'infinity')
"""
_PARKED_TOTALS = f"SELECT coalesce(sum(records), 0)::BIGINT, count(*), min(since) FROM ({_WAITING})"
_PARKED = f"""
SELECT {PARKED_COLUMNS}, parked_at FROM parked
WHERE customer_id IN (
    SELECT customer_id FROM ({_WAITING}) WHERE customer_id = coalesce(?::UUID, customer_id) ORDER BY first LIMIT ?
)
ORDER BY seq
"""


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)


def _without_zone(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(UTC).replace(tzinfo=None)


def _size(path: str) -> int | None:
    sizes = []
    for file in (path, f"{path}.wal") if path != MEMORY else ():
        with suppress(OSError):  # a checkpoint removes the log
            sizes.append(Path(file).stat().st_size)
    return sum(sizes) if sizes else None
