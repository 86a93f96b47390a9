"""A view of a PostgreSQL store, read while workers run: a separate connection in one read-only transaction."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import psycopg
from typing_extensions import override

from domain.customer import Customer
from worker.messages.record import TopicPartition
from worker.stores.churns import ChurnPair, PublishedPosition, StoreDays
from worker.stores.dead_letters import Filters, StoredLetter, StoredRecord, WaitingLetter
from worker.stores.errors import StoreError
from worker.stores.migrations import newest_version
from worker.stores.postgres import churns, outbox, rows
from worker.stores.postgres import dead_letters as letters
from worker.stores.postgres.connection import connect, require_store, wrap_errors
from worker.stores.postgres.locks import LEADER_NAME, RELAY_KEY
from worker.stores.postgres.public_tables import PostgresPublicTables
from worker.stores.reading import Decision, ParkedSince, ParkedTotals, StoreTotals, StoreView, Waiting
from worker.stores.row_codec import customer, parked_record

END_SECONDS = 5.0


def open_view(url: str, shown: str) -> StoreView:
    """Open the store at `url` for reading while workers run. Raises `NoStoreError` if there is none."""
    return PostgresView(url, shown, lambda _: None)


class PostgresView(PostgresPublicTables):
    """A snapshot of the database at the creation of the view; `closed` is called when the view is closed."""

    def __init__(self, url: str, shown: str, closed: Callable[[PostgresView], object]) -> None:
        self.shown = shown
        self._told_closed = closed
        self._is_closed = threading.Event()
        self._has_to_end = False
        self._open(url)

    @wrap_errors
    def _open(self, url: str) -> None:
        self._db = connect(url)
        try:
            self._db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # The transaction's first look, which it keeps.
            require_store(self._db, self.shown, newest_version("postgres"))
        except BaseException:
            self._db.close()
            raise

    def _require_time(self) -> None:
        if self._has_to_end:
            raise StoreError(f"the store {self.shown} is being closed. Retry later")

    @wrap_errors
    def _rows(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        self._require_time()
        return self._db.execute(query.encode(), parameters or None).fetchall()

    @override
    def totals(self) -> StoreTotals:
        [(customers, churned)] = self._rows("SELECT count(*), count(churn_date) FROM customers")
        [(pending, first_pending)] = self._rows(_PENDING)
        return StoreTotals(
            customers=customers,
            churned=churned,
            decisions=dict(self._rows("SELECT outcome, count(*) FROM journal GROUP BY outcome")),
            parked=self.parked_totals(),
            outgoing=dict(self._rows("SELECT topic, count(*) FROM outbox GROUP BY topic")),
            pending=pending,
            pending_since=None if first_pending is None else self._decided_at(first_pending),
            size_bytes=self.size_bytes(),
        )

    def _decided_at(self, number: int) -> datetime | None:
        """Return the time of the decision that this row of the outbox comes from.

        Rows from before version 4 have no time: it is that of their decision.
        """
        [(message_id, at)] = self._rows(_ID_OF_ROW, {"numbers": [number]})
        letter = _LETTER_ID(message_id)
        if at is None and letter is None:
            [(at,)] = self._rows('SELECT max("at") FROM decisions WHERE event_id::text = %s', [message_id])
        elif at is None and letter is not None:
            query = 'SELECT max("at") FROM decisions WHERE topic = %s AND partition = %s AND "offset" = %s'
            [(at,)] = self._rows(query, [letter[1], int(letter[2]), int(letter[3])])
        moment: datetime | None = at
        return moment

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        found = self._rows("SELECT topic, partition, next_offset FROM positions")
        return {(topic, partition): offset for topic, partition, offset in found}

    @override
    def customer(self, customer_id: str) -> Customer | None:
        found = self._rows(f"SELECT {rows.CUSTOMER_COLUMNS} FROM customers WHERE customer_id = %s::uuid", [customer_id])
        return customer(found[0]) if found else None

    @override
    def decisions(self, customer_id: str) -> Sequence[Decision]:
        query = """
            SELECT "at", topic, partition, "offset", outcome, reason, event_id::text
            FROM journal WHERE customer_id = %s::uuid
            ORDER BY "at", outcome <> 'parked', outcome <> 'applied', event_id IS NOT NULL, "offset"
        """
        return [Decision(at, *row) for at, *row in self._rows(query, [customer_id])]

    @override
    def published(self, event_ids: Sequence[str]) -> Mapping[str, bool]:
        query = f"SELECT id, NOT ({outbox.IS_PENDING}) FROM {outbox.NUMBERED} WHERE id = ANY(%s)"
        return dict(self._rows(query, [list(event_ids)]))

    @override
    def parked_totals(self, before: datetime | None = None) -> ParkedTotals:
        [(records, customers, since)] = self._rows(_PARKED_TOTALS, [before])
        return ParkedTotals(records, customers, since)

    @override
    def parked(
        self, *, customer_id: str | None = None, before: datetime | None = None, customers: int | None = None
    ) -> Sequence[ParkedSince]:
        found = self._rows(_PARKED, [before, customer_id, customers])
        return [ParkedSince(*parked_record(row[:-1]), row[-1]) for row in found]

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
        [(pending, first_pending)] = self._rows(_PENDING)
        pending_since = None if first_pending is None else self._decided_at(first_pending)
        return Waiting(parked, parked_since, pending, pending_since)

    @wrap_errors
    @override
    def waiting_letters(self, sources: Mapping[str, str]) -> list[WaitingLetter]:
        return letters.waiting_letters(self._db, sources)

    @override
    def leader(self) -> str | None:
        [(by_lease, until)] = self._rows("SELECT leader IS NOT NULL, leads_until FROM relay")
        if by_lease:
            now = self._rows("SELECT clock_timestamp()")[0][0]
            return f"a worker, by its lease until {until:%H:%M:%S} UTC" if until is not None and until > now else None
        found = self._rows(_LEADING_SESSION)
        return None if not found else f"{found[0][0]}, at {found[0][1]}"

    @override
    def size_bytes(self) -> int | None:
        return int(self._rows(_SIZE)[0][0])

    @override
    def interrupt(self) -> None:
        with suppress(psycopg.Error):  # raised if the view is closed
            self._db.cancel_safe(timeout=END_SECONDS)

    @override
    def close(self) -> None:
        self._db.close()
        self._is_closed.set()
        self._told_closed(self)

    def end(self) -> None:
        """Interrupt queries until the view is closed. May be called from any thread.

        Raises `StoreError` if it is not closed in time.
        """
        self._has_to_end = True
        for _ in range(int(END_SECONDS / 0.05)):
            self.interrupt()
            if self._is_closed.wait(0.05):
                return
        raise StoreError(f"the store {self.shown} cannot be closed: a query does not end. Retry later")


_LEADING_SESSION = f"""
    SELECT
        coalesce(substr(nullif(application_name, ''), length('{LEADER_NAME}') + 1), 'a worker of another user'),
        coalesce(host(client_addr), 'an address not shown')
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pg_locks.database = pg_stat_activity.datid
        AND ((classid::bigint << 32) | objid::bigint) = {RELAY_KEY}
"""
_LETTER_ID = re.compile("(.+)/([0-9]+)/([0-9]+)@.*").fullmatch
# By commit first: nearly all rows are published, and need not be read.
_PENDING = f"""
SELECT count(*), min({rows.ROW_NUMBER}) FROM {outbox.NUMBERED}
WHERE {outbox.IS_PENDING} AND (seq_before IS NULL OR seq_before >= coalesce(
    (SELECT max(seq_before) FROM outbox_commits WHERE seq_before <= (SELECT published_seq FROM relay)), 0
))
"""
_ID_OF_ROW = f"SELECT id, decided_at FROM outbox WHERE {rows.WITH_ROW_NUMBERS}"
_WAITING = """
    SELECT customer_id, count(*) AS records, min(parked_at) AS since, min(seq) AS first
    FROM parked GROUP BY customer_id HAVING min(parked_at) < coalesce(%s::timestamptz, 'infinity')
"""
_PARKED_TOTALS = f"SELECT coalesce(sum(records), 0)::bigint, count(*), min(since) FROM ({_WAITING}) AS waiting"
_PARKED = f"""
SELECT {rows.PARKED_COLUMNS}, parked_at FROM parked
WHERE customer_id IN (
    SELECT customer_id FROM ({_WAITING}) AS waiting
    WHERE customer_id = coalesce(%s::uuid, customer_id) ORDER BY first LIMIT %s
)
ORDER BY seq
"""
_SIZE = """
SELECT sum(pg_total_relation_size(pg_class.oid))::bigint
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND nspname = current_schema()
"""
