"""Content of the worker's DuckDB file, read from a copy with plain SQL."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb


@dataclass(frozen=True, slots=True)
class KeptCustomer:
    """A customer in the file. `mrr` is in dollars per month, `churn_date` an ISO date or None."""

    customer_id: str
    mrr: Decimal
    churn_date: str | None


@dataclass(frozen=True, slots=True)
class Decided:
    """A row of the journal."""

    topic: str
    partition: int
    offset: int
    outcome: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """Content of the store. `parked` has the customers of parked cancellations."""

    customers: list[KeptCustomer]
    journal: list[Decided]
    parked: list[str]

    @property
    def churned(self) -> list[KeptCustomer]:
        """Customers who churned."""
        return [customer for customer in self.customers if customer.churn_date]


def read_store(path: Path) -> Kept:
    """Read the file without changing it. The worker must not be running."""
    with tempfile.TemporaryDirectory(prefix="customer-worker-demo-") as directory:
        for part in path.parent.glob(f"{path.name}*"):  # the file and its write-ahead log
            shutil.copy(part, directory)
        with duckdb.connect(str(Path(directory) / path.name)) as db:
            return _read(db)


def _read(db: duckdb.DuckDBPyConnection) -> Kept:
    customers = db.execute("SELECT customer_id::VARCHAR, mrr, churn_date::VARCHAR FROM customers").fetchall()
    journal = db.execute('SELECT topic, partition, "offset", outcome, reason FROM journal').fetchall()
    parked = db.execute("SELECT customer_id::VARCHAR FROM parked ORDER BY seq").fetchall()
    decided = [Decided(*row) for row in journal]
    return Kept([KeptCustomer(*row) for row in customers], decided, [customer_id for (customer_id,) in parked])
