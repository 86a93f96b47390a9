"""Churn events on the topic: their values are decoded and summed by the same queries as those in the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
from typing_extensions import override

from worker.stores.churns import Churn, Sum, TopicDays, ValueReader
from worker.stores.duckdb.churns import FINGERPRINTED_BY, SUM, churn_of, events_of, sum_of

_READ_VALUES = f"CREATE OR REPLACE TEMP TABLE decoded AS {events_of('batch')}"
_VALUES_BY_DAY = f"SELECT day, {SUM} FROM decoded WHERE is_event GROUP BY day"
_RECENT = "SELECT customer_id::VARCHAR FROM decoded WHERE is_event AND place >= $recent_from"


class DuckDBValueReader(ValueReader):
    """Reader of values with `db`, a connection to no file."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._db = db

    @property
    @override
    def fingerprinted_by(self) -> str:
        return FINGERPRINTED_BY

    @override
    def days(self, values: Sequence[bytes | None], recent_from: int) -> TopicDays:
        self._read(values)
        return TopicDays(
            {day: sum_of(*added) for day, *added in self._db.execute(_VALUES_BY_DAY).fetchall()},
            self._column(_RECENT, {"recent_from": recent_from}),
            self._column("SELECT place FROM decoded WHERE NOT is_event ORDER BY place", {}),
        )

    @override
    def churns(self, values: Sequence[bytes | None], among: AbstractSet[str] | None = None) -> list[tuple[int, Churn]]:
        self._read(values)
        query = "SELECT place, customer_id::VARCHAR, day, arr::VARCHAR FROM decoded WHERE is_event"
        if among is not None:
            query += " AND customer_id IN (SELECT unnest($among::UUID[]))"
        parameters = {} if among is None else {"among": list(among)}
        return [
            (place, churn_of(*row))
            for place, *row in self._db.execute(f"{query} ORDER BY place", parameters).fetchall()
        ]

    @override
    def sums(self, churns: Sequence[Churn]) -> dict[date, Sum]:
        columns = {
            "customer_id": pa.array([churn.customer_id for churn in churns], pa.string()),
            "day": pa.array([churn.day for churn in churns], pa.date32()),
            "arr": pa.array([churn.lost_arr for churn in churns], pa.decimal128(38, 2)),
        }
        self._db.register("batch", pa.table(columns))
        query = f"SELECT day, {SUM} FROM (SELECT customer_id::UUID AS customer_id, day, arr FROM batch) GROUP BY day"
        return {day: sum_of(*added) for day, *added in self._db.execute(query).fetchall()}

    def _read(self, values: Sequence[bytes | None]) -> None:
        columns = {"place": pa.array(range(len(values))), "value": pa.array(values, pa.binary())}
        self._db.register("batch", pa.table(columns))
        self._db.execute(_READ_VALUES)

    def _column(self, query: str, parameters: dict[str, Any]) -> list[Any]:
        return [row[0] for row in self._db.execute(query, parameters).fetchall()]
