"""Reads of a batch in PostgreSQL: customers, parked cancellations, earlier decisions. They take no locks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from decimal import Decimal

from typing_extensions import override

from domain.customer import Customer
from worker.messages.record import TopicPartition
from worker.stores.changes import ParkedRecord, RecordCoordinates
from worker.stores.port import BatchStore
from worker.stores.postgres import checks, rows
from worker.stores.postgres.abandoned import Abandoned
from worker.stores.postgres.connection import wrap_errors
from worker.stores.postgres.store_session import PostgresSession
from worker.stores.row_codec import customer, parked_record


class PostgresReads(PostgresSession, BatchStore):
    """The reads of a batch, each one statement for all its customers."""

    @override
    def rollback(self) -> None:
        self._read = {}

    @override
    def customers(self, customer_ids: Collection[str]) -> Iterable[Customer]:
        if not customer_ids:
            return []
        query = f"SELECT {rows.CUSTOMER_COLUMNS} FROM customers WHERE customer_id = ANY(%s::uuid[])"
        return [customer(row) for row in self._rows(query, [rows.uuids(customer_ids)])]

    @override
    def active_customers(self) -> Iterator[Customer]:
        return map(customer, self._rows(f"SELECT {rows.CUSTOMER_COLUMNS} FROM customers WHERE churn_date IS NULL"))

    @override
    def lost_arr(self) -> Decimal:
        query = "SELECT coalesce(sum(arr), 0.00) FROM customer_arr WHERE churn_date IS NOT NULL"
        return Decimal(self._rows(query)[0][0])

    @override
    def sample(self, n: int) -> list[Customer]:
        query = f"SELECT {rows.CUSTOMER_COLUMNS} FROM customers ORDER BY md5(customer_id::text || '42') LIMIT %s"
        return [customer(row) for row in self._rows(query, [n])]

    @override
    def parked(self, customer_ids: Collection[str]) -> Iterable[ParkedRecord]:
        if not customer_ids:
            return []
        query = f"SELECT {rows.PARKED_COLUMNS} FROM parked WHERE customer_id = ANY(%s::uuid[]) ORDER BY seq"
        return [parked_record(row) for row in self._rows(query, [rows.uuids(customer_ids)])]

    @override
    def parked_before(self, moment: datetime, limit: int) -> Sequence[ParkedRecord]:
        query = f"SELECT {rows.PARKED_COLUMNS} FROM parked WHERE parked_at < %s ORDER BY seq LIMIT %s"
        return [parked_record(row) for row in self._rows(query, [moment, limit])]

    @property
    @override
    def abandoned(self) -> AbstractSet[RecordCoordinates]:
        return Abandoned(self._rows)

    @wrap_errors
    @override
    def decided(self, coordinates: Collection[RecordCoordinates]) -> AbstractSet[RecordCoordinates]:
        return checks.decided(self._db, coordinates)

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        return self._read_positions()
