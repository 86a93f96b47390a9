"""`python -m tests.benchmarks.asking`: how long each question about a large store takes, with and without a worker."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.table import Table

from tests.worker.builders import ADA, SIGNUPS, record, signup_value
from worker.answering import Answering
from worker.app import batch_path
from worker.asking import ask
from worker.churn_questions import DaysAsked, PairsAsked
from worker.dead_letters.letters import Filters
from worker.dead_letters.questions import Rows
from worker.giving_up import Before
from worker.parked import WhoWaits
from worker.question import Nothing, Question
from worker.questions import QUESTIONS
from worker.settings import Settings, Store
from worker.stores.duckdb import DuckDBStore
from worker.story import Whose
from worker.unit_of_work import UnitOfWork

LIMIT_S = 2.0
BATCH_RECORDS = 1_000
DEAD_LETTERS = 10_000
PARKED = 10_000
LAST_DAY = date(2026, 6, 30)
"""On which one in `CHURN_DAYS` of those left who did."""
CHURN_DAYS = 365

_CUSTOMERS = """
INSERT INTO customers
SELECT
    if(i = 0, $ada::UUID, md5('c' || i)::UUID), 'FinTech', 'growth', DATE '2024-01-15', 499,
    if(i % 2 = 0, $last_day::DATE - (i % $days)::INTEGER, NULL)
FROM range($customers) AS customer(i)
"""
_EVENTS = """
CREATE TEMP TABLE event AS
SELECT row_number() OVER () AS seq, uuid() AS id, customer_id, churn_date FROM customers WHERE churn_date IS NOT NULL
"""
_JOURNAL = """
INSERT INTO journal
SELECT TIMESTAMP '2026-07-01', 'customer.signup', i % 8, i // 8, if(i = 0, $ada::UUID, md5('c' || i)::UUID),
    'applied', NULL, NULL
FROM range($customers) AS signup(i)
UNION ALL
SELECT TIMESTAMP '2026-07-02', 'customer.cancellation', seq % 8, seq // 8, customer_id, 'applied', NULL, id FROM event
UNION ALL
SELECT TIMESTAMP '2026-07-03', 'customer.signup', i % 8, $customers + i // 8, md5('c' || i % $customers)::UUID,
    'duplicate', NULL, NULL
FROM range($customers * 2 - (SELECT count(*) FROM event) - $letters) AS again(i)
UNION ALL
SELECT TIMESTAMP '2026-07-04', 'customer.cancellation', i % 8, $customers + i, md5('c' || i * 2)::UUID,
    'rejected', 'already_churned', NULL
FROM range($letters) AS letter(i)
"""
_OUTBOX = """
INSERT INTO outbox
SELECT
    seq, id::VARCHAR, 'customer.churned', NULL, customer_id::VARCHAR::BLOB,
    ('{"customer_id":"' || customer_id || '","signup_date":"2024-01-15","churn_date":"' || churn_date
        || '","mrr":{"amount":"499.00","currency":"USD"},"lost_arr":{"amount":"5988.00","currency":"USD"}}')::BLOB,
    '\\x90'::BLOB, customer_id, false, 1782820800000
FROM event
UNION ALL
SELECT
    (SELECT max(seq) FROM event) + 1 + i,
    'customer.cancellation/' || i % 8 || '/' || $customers + i || '@1782820800000',
    'customer.cancellation-dlt', i % 8, NULL, '{}'::BLOB, '\\x90'::BLOB, md5('c' || i * 2)::UUID, false, 1782820800000
FROM range($letters) AS letter(i)
"""
_PARKED = """
INSERT INTO parked
SELECT
    i, md5('p' || i)::UUID, 'customer.cancellation', i % 8, 10 * $customers + i, 1782820800000, NULL,
    ('{"customer_id":"' || md5('p' || i)::UUID || '","cancellation_date":"2026-06-30"}')::BLOB, '\\x90'::BLOB,
    TIMESTAMP '2026-07-04' + to_seconds(i)
FROM range($parked) AS waiting(i)
"""
_POSITIONS = """
INSERT INTO positions
SELECT topic, i, $customers
FROM range(8) AS partition(i), unnest(['customer.signup', 'customer.cancellation']) AS input(topic)
"""


def main() -> None:
    """Fill a store, ask each question, and print how long that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000, help="the journal has three times as many rows")
    customers = parser.parse_args().customers
    console = Console()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "customers.duckdb")
        fill(file, customers)
        settings = Settings(store=Store.model_validate({"url": f"duckdb:///{file}"}))
        stopped = {name: _stopped(settings, name) for name in QUESTIONS}
        running = asyncio.run(_running(file, settings))
    table = Table("question", "no worker", "worker under load", title=f"seconds, {customers:,} customers")
    for name in QUESTIONS:
        table.add_row(name, *(_shown(seconds) for seconds in (stopped[name], running[name])))
    console.print(table)


def fill(file: Path, customers: int) -> None:
    """A store with so many customers, half of whom left, and three times as many decisions."""
    store = DuckDBStore(str(file))
    values: dict[str, Any] = {
        "ada": ADA,
        "last_day": LAST_DAY,
        "days": CHURN_DAYS,
        "customers": customers,
        "letters": min(DEAD_LETTERS, customers // 10),
        "parked": PARKED,
    }
    for statement in (_CUSTOMERS, _EVENTS, _JOURNAL, _OUTBOX, _PARKED, _POSITIONS):
        store._db.execute(statement, {name: value for name, value in values.items() if f"${name}" in statement})
    store._db.execute("UPDATE relay SET published_seq = (SELECT max(seq) FROM outbox)")
    store._db.execute("DROP TABLE event")
    store._db.execute("CHECKPOINT")
    store.close()


def _parameters() -> dict[str, Any]:
    """What each question is asked with; a question that is not among them fails the run."""
    return {
        "status": Nothing(),
        "explain": Whose(ADA),
        "parked": WhoWaits(100),
        "dead-letters": Filters(),
        "dead-letter-records": Rows(list(range(1, 1_001))),
        "positions": Nothing(),
        "published-up-to": Nothing(),
        "churn-days": DaysAsked(2**62, date(2025, 1, 1), LAST_DAY, 1_000),
        "churn-pairs": PairsAsked(2**62, [LAST_DAY]),
        "parked-before": Before(datetime(2026, 7, 5, tzinfo=UTC)),
    }


def _stopped(settings: Settings, name: str) -> float:
    question: Question[Any, Any] = QUESTIONS[name]
    return asyncio.run(_seconds(lambda: ask(settings, question, _parameters()[name])))


async def _running(file: Path, settings: Settings) -> dict[str, float]:
    """As a worker answers, that has the store open and applies one batch after the other."""
    store = DuckDBStore(str(file))
    answering = Answering(store, settings)
    found = {}
    with _under_load(store, settings):
        for name, question in QUESTIONS.items():
            parameters = _parameters()[name]
            found[name] = await _seconds(partial(answering.answer, question, parameters))
    await answering.close()
    store.close()
    return found


@contextmanager
def _under_load(store: DuckDBStore, settings: Settings) -> Iterator[None]:
    stop = threading.Event()
    failures: list[Exception] = []

    def work() -> None:
        path = batch_path(settings)
        try:
            for batch in count(10**9, BATCH_RECORDS):
                if stop.is_set():
                    return
                records = [
                    record(signup_value(str(uuid4())), SIGNUPS, offset)
                    for offset in range(batch, batch + BATCH_RECORDS)
                ]
                with UnitOfWork(store) as unit:
                    path.apply(records, unit)
                    unit.commit()
        except Exception as error:  # noqa: BLE001 - raised where the figures are made
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


async def _seconds(act: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began


def _shown(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < LIMIT_S else f"[red]{seconds:.2f}[/]"


if __name__ == "__main__":
    main()
