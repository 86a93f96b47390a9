"""A consumer as in FastStream's tutorial: one record at a time into DuckDB. Prints records per second.

It promises nothing that the worker promises; it is here to show what batching brings.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import date
from decimal import Decimal

import duckdb
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from pydantic import BaseModel


class Money(BaseModel):
    amount: Decimal
    currency: str


class Signup(BaseModel):
    customer_id: str
    industry: str
    plan_tier: str
    signup_date: date
    mrr: Money


class Cancellation(BaseModel):
    customer_id: str
    cancellation_date: date
    reason: str | None = None


class Churned(BaseModel):
    customer_id: str
    churn_date: date
    lost_arr: Money


class Pace:
    """Ends the process after so many records, and says how many that were a second."""

    def __init__(self, records: int) -> None:
        self._left = self._records = records
        self._began: float | None = None

    def tick(self) -> None:
        self._began = self._began or time.monotonic()
        self._left -= 1
        if not self._left:
            print(round(self._records / (time.monotonic() - self._began)), flush=True)
            os._exit(0)


def application(bootstrap_servers: str, prefix: str, file: str, records: int) -> FastStream:
    pace = Pace(records)
    store = duckdb.connect(file)
    store.execute(
        "CREATE TABLE customers (customer_id VARCHAR PRIMARY KEY, industry VARCHAR, plan_tier VARCHAR,"
        " signup_date DATE, mrr DECIMAL(18, 2), churn_date DATE)"
    )
    broker = KafkaBroker(bootstrap_servers, logger=None)
    group = f"naive-{time.time_ns()}"

    @broker.subscriber(
        f"{prefix}customer.signup", group_id=group, auto_offset_reset="earliest", ack_policy=AckPolicy.NACK_ON_ERROR
    )
    async def sign_up(message: Signup) -> None:
        row = [message.customer_id, message.industry, message.plan_tier, message.signup_date, message.mrr.amount]
        store.execute("INSERT INTO customers VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING", row)
        pace.tick()

    @broker.subscriber(
        f"{prefix}customer.cancellation",
        group_id=group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    @broker.publisher(f"{prefix}naive.churned")
    async def cancel(message: Cancellation) -> Churned | None:
        row = store.execute(
            "UPDATE customers SET churn_date = ? WHERE customer_id = ? AND churn_date IS NULL RETURNING mrr",
            [message.cancellation_date, message.customer_id],
        ).fetchone()
        pace.tick()
        if row is None:
            return None
        lost = Money(amount=row[0] * 12, currency="USD")
        return Churned(customer_id=message.customer_id, churn_date=message.cancellation_date, lost_arr=lost)

    return FastStream(broker, logger=None)


if __name__ == "__main__":
    asyncio.run(application(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])).run())
