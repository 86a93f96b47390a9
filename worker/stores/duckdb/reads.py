"""Reads of a batch in DuckDB: customers, parked cancellations, earlier decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from decimal import Decimal

from typing_extensions import override

from domain.customer import Customer
from worker.messages.record import TopicPartition
from worker.stores.changes import ParkedRecord, RecordCoordinates
from worker.stores.duckdb import rows
from worker.stores.duckdb.columns import CUSTOMER_COLUMNS, PARKED_COLUMNS
from worker.stores.duckdb.file import wrap_errors
from worker.stores.duckdb.session import DuckDBSession
from worker.stores.port import BatchStore
from worker.stores.row_codec import customer, parked_record

IDS_AS_PARAMETERS = 20
"""So few ids are found 0.2 to 0.4 ms faster as parameters than by a join, which uses the index, too (`file.py`)."""


class DuckDBReads(DuckDBSession, BatchStore):
    """The reads of a batch, each one statement for all its customers."""

    @wrap_errors
    @override
    def customers(self, customer_ids: Collection[str]) -> Iterable[Customer]:
        if not customer_ids:
            return []
        query = f"SELECT {CUSTOMER_COLUMNS} FROM customers WHERE customer_id IN "
        if len(customer_ids) <= IDS_AS_PARAMETERS:
            found = self._db.execute(query + ids_given(len(customer_ids)), list(customer_ids))
        else:
            found = self._join(query + "(SELECT id::UUID FROM batch)", rows.customer_ids(customer_ids))
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
    @override
    def parked(self, customer_ids: Collection[str]) -> Iterable[ParkedRecord]:
        if not customer_ids or not self._parked_count:
            return []
        query = f"""
            SELECT {PARKED_COLUMNS} FROM parked WHERE customer_id IN (SELECT id::UUID FROM batch) ORDER BY seq
        """
        return [parked_record(row) for row in self._join(query, rows.customer_ids(customer_ids)).fetchall()]

    @wrap_errors
    @override
    def parked_before(self, moment: datetime, limit: int) -> Sequence[ParkedRecord]:
        query = f"SELECT {PARKED_COLUMNS} FROM parked WHERE parked_at < ? ORDER BY seq LIMIT {limit:d}"
        found = self._db.execute(query, [moment.astimezone(UTC).replace(tzinfo=None)]).fetchall()
        return [parked_record(row) for row in found]

    @property
    @override
    def abandoned(self) -> AbstractSet[RecordCoordinates]:
        return self._abandoned

    @wrap_errors
    @override
    def decided(self, coordinates: Collection[RecordCoordinates]) -> AbstractSet[RecordCoordinates]:
        if not coordinates:
            return set()
        offsets = [offset for _, _, offset in coordinates]
        # Decisions have no index. They are in about the order of offsets: most are passed over by their bounds.
        query = f"""
            SELECT DISTINCT journal.topic, journal.partition, journal."offset" FROM journal JOIN batch
            ON journal.topic = batch.topic AND journal.partition = batch.partition AND journal."offset" = batch.place
            WHERE journal."offset" BETWEEN {min(offsets)} AND {max(offsets)}
        """
        return set(map(RecordCoordinates._make, self._join(query, rows.coordinates(list(coordinates))).fetchall()))

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        return self._progress.positions


def ids_given(count: int) -> str:
    """Return the parameters of a search for that many ids."""
    return f"({', '.join(['?::UUID'] * count)})"
