"""`python -m tests.benchmarks.moving_up`: a large DuckDB store copied to PostgreSQL, and a worker going on from there.

A million customers, three million decisions and 250,000 outgoing records by default. The last thousand of those the
store does not know to be out, and half of them are. What was read before the move is on the topics, and would bring
events if it were read again. After the move come new signups and cancellations, and repeats. At the end the output
topic has to hold every event once, and none that was published before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from tests.benchmarks import contest, contestants, traffic, workers
from tests.benchmarks.contestants import Contestant
from tests.support.kafka.broker import running_kafka
from tests.support.postgres.server import WheelPostgres, fresh_schema, postgres_from_the_wheel
from tests.support.producing import raw_producer
from worker.stores.changes import Changes
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.row_codec import encode_headers

UNMARKED = 1_000
READ_BEFORE = 10_000
PADDING = "x" * 300  # an event's headers and value have some 700 bytes together
console = Console()


@dataclass(frozen=True)
class Copied:
    """The cost of a copy; `peak_mib` is the command's."""

    rows: int
    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    peak_mib: int
    wal_bytes: int
    bytes_a_row: dict[str, float]


def main() -> None:
    arguments = _arguments()
    with running_kafka() as kafka, postgres_from_the_wheel() as server, tempfile.TemporaryDirectory() as temporary:
        moving = Moving(kafka.bootstrap_servers, server, Path(temporary), arguments.customers, arguments.then)
        report = moving.run()
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2))
    console.print(f"written to {arguments.json}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000, help="in the store; a quarter of them left")
    parser.add_argument("--then", type=int, default=100_000, help="how many sign up after the move")
    parser.add_argument("--json", type=Path, default=Path(".cache/moving-up.json"))
    return parser.parse_args()


class Moving:
    """One store, before and after."""

    def __init__(self, servers: str, server: WheelPostgres, directory: Path, customers: int, then: int) -> None:
        self._servers, self._server, self._directory = servers, server, directory
        self._customers, self._then = customers, then
        self._topics = traffic.Topics(f"moving-{time.time_ns()}.")
        self._file = directory / "customers.duckdb"

    def run(self) -> dict[str, Any]:
        """Fill, copy, go on and compare."""
        traffic.create(self._servers, self._topics)
        url = fresh_schema(self._server)
        contestant = contestants.worker(self._servers, self._topics, self._directory, url)
        self._produce_what_was_read_before()
        console.print(f"filling a store with {self._customers:,} customers")
        fill(self._file, self._customers, self._topics, contestant.output, self._ends())
        self._publish_what_is_not_marked(contestant.output)
        copied = self._copy(url)
        console.print(_table(copied))
        wanted = self._produce_what_comes_then()
        wanted.update(map(customer_id, range((self._customers // 4 - UNMARKED) * 4, self._customers, 4)))
        new = sum(wanted.values()) - UNMARKED // 2  # so many were there before
        console.print(f"a worker goes on: {new:,} events are to come")
        figures = self._go_on(contestant, new)
        repeats, missing = self._compare(contestant.output, wanted)
        console.print(f"{figures}\nrepeated or not to be there: {repeats}, missing: {missing}", highlight=False)
        assert (repeats, missing) == (0, 0), "not exactly once"
        return {"copied": asdict(copied), "went_on": asdict(figures), "events": new}

    def _copy(self, url: str) -> Copied:
        with closing(psycopg.connect(url, autocommit=True)) as admin:
            cpu, wal, began = workers.server_cpu_seconds(self._server), workers.wal_bytes(admin), time.monotonic()
            command = [sys.executable, "-m", "worker", "store", "copy", f"duckdb:///{self._file}", url, "--json"]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                assert process.stdout
                said = process.stdout.read()
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0, said
            return Copied(
                rows=json.loads(said)["rows"],
                seconds=time.monotonic() - began,
                cpu_seconds=used.ru_utime + used.ru_stime,
                server_cpu_seconds=workers.server_cpu_seconds(self._server) - cpu,
                peak_mib=used.ru_maxrss // 1024,
                wal_bytes=workers.wal_bytes(admin) - wal,
                bytes_a_row=_bytes_a_row(admin),
            )

    def _go_on(self, contestant: Contestant, new: int) -> workers.WithServer:
        with closing(psycopg.connect(self._server.url, autocommit=True)) as admin:
            cpu, wal = workers.server_cpu_seconds(self._server), workers.wal_bytes(admin)
            command, environment = contestant.command, contestant.environment
            log = self._directory / "log"
            found = contest.run(self._servers, contestant.output, new, command, environment, log)
            cpu, wal = workers.server_cpu_seconds(self._server) - cpu, workers.wal_bytes(admin) - wal
        return workers.WithServer(found.seconds, found.cpu_seconds, found.peak_mib, found.repeats, cpu, wal)

    def _produce_what_was_read_before(self) -> None:
        """Produce cancellations of active customers: each one read again would result in an event too many."""
        with _sending(self._servers) as producer:
            for number in range(3, min(READ_BEFORE * 4, self._customers), 4):
                _send(producer, self._topics.cancellation, number, traffic.cancellation(customer_id(number)))

    def _produce_what_comes_then(self) -> Counter[str]:
        """Produce signups and cancellations of new and old customers, and repeats; count the expected events."""
        first, count = self._customers, self._then
        leaving = [*range(first, first + count, 2), *range(1, min(2 * count, self._customers), 4)]
        with _sending(self._servers) as producer:
            rng = random.Random(3)
            for number in range(first, first + count):
                _send(producer, self._topics.signup, number, traffic.signup(customer_id(number), rng))
            for number in range(min(count // 10, self._customers)):
                _send(producer, self._topics.signup, number, signup_as_filled(customer_id(number)))
            for number in leaving:
                _send(producer, self._topics.cancellation, number, traffic.cancellation(customer_id(number)))
            for number in [*range(0, min(count // 10, self._customers), 4), *leaving[::10]]:
                _send(producer, self._topics.cancellation, number, traffic.cancellation(customer_id(number)))
        return Counter(map(customer_id, leaving))

    def _publish_what_is_not_marked(self, topic: str) -> None:
        """As a worker that was killed before it noted what it had published."""
        first = self._customers // 4 - UNMARKED
        with _sending(self._servers) as producer:
            for place in range(first, first + UNMARKED // 2):
                headers: traffic.Headers = [("ce_id", event_id(place * 4).encode())]
                producer.produce(topic, PADDING, customer_id(place * 4), headers=headers)

    def _ends(self) -> dict[tuple[str, int], int]:
        with closing(Consumer({"bootstrap.servers": self._servers, "group.id": "ends"})) as reader:
            return {
                (topic, number): reader.get_watermark_offsets(TopicPartition(topic, number))[1]
                for topic in (self._topics.signup, self._topics.cancellation)
                for number in range(traffic.PARTITIONS)
            }

    def _compare(self, topic: str, wanted: Counter[str]) -> tuple[int, int]:
        """Events that are there and should not be, and the other way around; the worker has stopped."""
        found: Counter[str] = Counter()
        with closing(contest.reader_at_the_end(self._servers, topic)) as reader:
            places = reader.assignment()
            ends = {place.partition: place.offset for place in places}
            reader.assign([TopicPartition(topic, place.partition, 0) for place in places])
            quiet_since = time.monotonic()
            while any(place.offset < ends[place.partition] for place in reader.position(places)):
                for message in reader.consume(10_000, 0.5):
                    found[(message.key() or b"").decode()] += 1
                    quiet_since = time.monotonic()
                if time.monotonic() - quiet_since > 5:  # what is left is marks of transactions
                    break
        return sum((found - wanted).values()), sum((wanted - found).values())


@contextmanager
def _sending(servers: str) -> Iterator[Producer]:
    """Yield a producer, and flush it when the block ends."""
    producer = raw_producer(servers)
    yield producer
    assert producer.flush(120) == 0


def _send(producer: Producer, topic: str, number: int, value: bytes) -> None:
    producer.produce(topic, value, customer_id(number), headers=traffic.headers("record", number))
    producer.poll(0)


def customer_id(number: int) -> str:
    """As `ID` has it."""
    return f"00000000-0000-4000-8000-{number:012x}"


def event_id(number: int) -> str:
    """As `EVENT` has it."""
    return f"00000000-0000-5000-8000-{number:012x}"


def signup_as_filled(of: str) -> bytes:
    """Return the signup of a customer in the store, for a second time."""
    said = {"customer_id": of, "industry": "FinTech", "plan_tier": "growth", "signup_date": "2026-01-15"}
    return json.dumps({**said, "mrr": {"amount": "499.00", "currency": "USD"}}).encode()


ID = "('00000000-0000-4000-8000-' || lpad(format('{:x}', number), 12, '0'))"
EVENT = "('00000000-0000-5000-8000-' || lpad(format('{:x}', number), 12, '0'))"


def fill(file: Path, customers: int, topics: traffic.Topics, churned: str, ends: dict[tuple[str, int], int]) -> None:
    """So many customers, three decisions about each, an event of every fourth; the topics are read up to `ends`."""
    store = DuckDBStore(str(file))
    run = store._db.execute
    run(f"""
        INSERT INTO customers BY NAME SELECT {ID} AS customer_id, 'FinTech' AS industry, 'growth' AS plan_tier,
            DATE '2026-01-15' AS signup_date, 499 AS mrr,
            CASE WHEN number % 4 = 0 THEN DATE '2026-11-01' END AS churn_date FROM range({customers}) numbers(number)
    """)
    for of, outcome in ((topics.signup, "applied"), (topics.signup, "duplicate"), (topics.cancellation, "applied")):
        run(f"""
            INSERT INTO decisions SELECT TIMESTAMP '2026-11-01' + to_milliseconds(number), '{of}', number % 8,
                number // 8, {ID}, '{outcome}', NULL,
                CASE WHEN '{of}' = '{topics.cancellation}' AND number % 4 = 0 THEN {EVENT}::UUID END
            FROM range({customers}) numbers(number)
        """)
    run(f"""
        INSERT INTO outbox SELECT number // 4 + 1, {EVENT}, '{churned}', NULL, {ID}::BLOB, '{PADDING}'::BLOB,
            ?::BLOB, {ID}, false, 1793491200000, NULL, NULL, NULL, NULL FROM range(0, {customers}, 4) numbers(number)
    """, [encode_headers([("of", PADDING.encode())])])  # fmt: skip
    marked = customers // 4 - UNMARKED
    named = [
        (encode_headers([("ce_id", event_id(place * 4).encode())]), place + 1)
        for place in range(marked, customers // 4)
    ]
    store._db.executemany("UPDATE outbox SET headers = ? WHERE seq = ?", named)
    store.mark_published(marked, {(churned, number): 0 for number in range(traffic.PARTITIONS)})
    store.commit(Changes(positions=ends))
    run("CHECKPOINT")
    store.close()


def _bytes_a_row(admin: psycopg.Connection) -> dict[str, float]:
    """Return the size of a row of each large table, indexes included."""
    schema = "(SELECT max(relnamespace) FROM pg_class WHERE relname = 'outbox_commits')"
    return {
        table: size / rows
        for table, size, rows in admin.execute(
            "SELECT relname, pg_total_relation_size(oid), reltuples FROM pg_class"
            f" WHERE relkind = 'r' AND relnamespace = {schema} AND relname IN ('customers', 'decisions', 'outbox')"
        ).fetchall()
    }


def _table(copied: Copied) -> Table:
    table = Table("copied", "")
    for name, value in (
        ("rows", f"{copied.rows:,}"),
        ("seconds", f"{copied.seconds:.1f}"),
        ("rows/s", f"{copied.rows / copied.seconds:,.0f}"),
        ("CPU s: the command, PostgreSQL", f"{copied.cpu_seconds:.1f}, {copied.server_cpu_seconds:.1f}"),
        ("peak MiB of the command", f"{copied.peak_mib:,}"),
        ("WAL MiB", f"{copied.wal_bytes // 1024**2:,}"),
        *((f"bytes a row of {name}, with indexes", f"{size:.0f}") for name, size in sorted(copied.bytes_a_row.items())),
    ):
        table.add_row(name, value)
    return table


if __name__ == "__main__":
    main()
