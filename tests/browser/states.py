"""States of a worker whose pages are looked at, each with real parts on a real store."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.support.builders import (
    CANCELLATIONS,
    SIGNUPS,
    apply,
    cancellation,
    customer_id,
    record,
    signup,
    signup_value,
)
from tests.support.shown_worker import Past, ShownWorker
from worker.messages.record import PlainRecord
from worker.monitoring.history import MAX_POINTS
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore

POINTS = MAX_POINTS
NO_SPACE = 'Failed to commit: Could not write file "/var/lib/worker/customers.duckdb.wal": No space left on device'
SOURCES = (b"/billing", b"/crm", b"/import/2026")


def past(first_lag: float, last_lag: float, records_per_second: float) -> list[Past]:
    """Return 15 minutes with a wave of records, and a lag from one value to another."""
    random.seed(1)
    points = []
    for number in range(POINTS):
        wave = 1 + 0.3 * math.sin(number / 9) + random.uniform(-0.1, 0.1)
        records = int(5 * records_per_second * wave)
        lag = int(first_lag + (last_lag - first_lag) * number / (POINTS - 1))
        batches = [random.uniform(0.01, 0.05) * wave for _ in range(6)] + [random.uniform(0.05, 0.15)]
        points.append(Past(records, lag, batches, {3: records // 20, 4: records // 30, 5: records // 200}))
    return points


def filled_store(letters: int = 0, days_ago: float = 0.0) -> DuckDBStore:
    """Return a store with customers, of whom some churned lately, with parked cancellations and dead letters."""
    random.seed(2)
    moment = datetime.now(UTC) - timedelta(days=days_ago)
    store = DuckDBStore(MEMORY, lambda: moment)
    money = '{"amount": "%d.00", "currency": "USD"}'
    apply(store, [signup(n, customer_id(n), mrr=money % random.randint(50, 900)) for n in range(400)])
    today = datetime.now(UTC).date()
    churns = [today - timedelta(days=int(random.triangular(0, 32, 8))) for _ in range(200)]
    apply(store, [cancellation(n, customer_id(n), str(day)) for n, day in enumerate(churns)])
    apply(store, [cancellation(1_000 + n, customer_id(5_000 + n), str(today)) for n in range(12)])
    if letters:
        apply(store, [_letter(number) for number in range(letters)])
    store.mark_published(store.last_seq, {})
    store.write_mark()
    return store


def _letter(number: int) -> PlainRecord:
    who = customer_id(9_000 + number)
    values = [
        signup_value(who, plan_tier='"platinum"'),
        signup_value(who, mrr='{"amount": "499.00", "currency": "EUR"}'),
        signup_value(customer_id(number % 400), plan_tier='"enterprise"'),
        b'{"customer_id": ',
    ]
    headers = [("ce_source", random.choice(SOURCES)), ("ce_id", b"1")]
    return record(random.choice(values), offset=10_000 + number, headers=headers)


def no_lag(partitions: int = 8) -> dict[tuple[str, int], int]:
    """Return the partitions of both topics without lag."""
    return {(topic, number): 0 for topic in (SIGNUPS, CANCELLATIONS) for number in range(partitions)}


def starting() -> ShownWorker:
    """Return a worker that waits for its group."""
    worker = ShownWorker(DuckDBStore(MEMORY))
    worker.consumer.assignment.is_set.clear()
    worker.consumer.joining._over.clear()
    return worker


def caught_up() -> ShownWorker:
    """Return a worker that has nothing to do."""
    worker = ShownWorker(filled_store())
    worker.has_lag(no_lag())
    worker.has_run(past(0, 0, 800))
    return worker


def backlog() -> ShownWorker:
    """Return a worker that reads a backlog."""
    worker = ShownWorker(filled_store())
    lags = {(SIGNUPS, number): 9_000 + number * 137 for number in range(8)}
    worker.has_lag(no_lag() | lags, behind_seconds=140)
    worker.has_run(past(2_400_000, sum(lags.values()), 4_000))
    return worker


def failing_store() -> ShownWorker:
    """Return a worker whose disk is full."""
    worker = ShownWorker(filled_store(190))
    worker.has_lag(no_lag() | {(SIGNUPS, 3): 4_100}, behind_seconds=35)
    worker.has_run(past(0, 4_100, 300))
    worker.consumer.applier.failure = NO_SPACE
    return worker


def frozen_kafka() -> ShownWorker:
    """Return a worker to whom Kafka has not answered for 42 s."""
    worker = ShownWorker(filled_store())
    worker.has_lag(no_lag() | {(SIGNUPS, 1): 12})
    worker.has_run(past(0, 12, 300)[:-8] + [Past(0, None, [], {})] * 8)
    worker.is_cut_off(42)
    return worker


def many_partitions() -> ShownWorker:
    """Return a worker with 120 partitions, of which some have a lag."""
    worker = ShownWorker(filled_store())
    worker.has_lag(no_lag(60) | {(SIGNUPS, number): (number * 7919) % 40 for number in range(0, 60, 5)})
    worker.has_run(past(0, 200, 3_000))
    return worker


def many_letters() -> ShownWorker:
    """Return a worker with a thousand dead letters."""
    worker = ShownWorker(filled_store(1_000, days_ago=3.5))
    worker.has_lag(no_lag())
    worker.has_run(past(0, 0, 800))
    return worker


STATES: dict[str, Callable[[], ShownWorker]] = {
    "starting": starting,
    "caught-up": caught_up,
    "backlog": backlog,
    "failing-store": failing_store,
    "frozen-kafka": frozen_kafka,
    "many-partitions": many_partitions,
    "many-letters": many_letters,
}
"""The states of the overview by name."""
