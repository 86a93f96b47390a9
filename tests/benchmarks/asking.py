"""`python -m tests.benchmarks.asking`: what questions take on a large store, and what they cost a busy worker.

A store of a million customers and three million decisions, a worker on it with more records to read than it can, and
how long each command takes beside it. Then how many records a second it takes while nobody asks, and while somebody
watches the status, explains a customer and lists what is parked: in turn, each stretch beside the two around it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from tests.acceptance.producing import raw_producer
from tests.benchmarks import contestants, traffic
from tests.benchmarks.contestants import Contestant
from tests.kafka.broker import running_kafka
from tests.kafka.local import free_ports
from worker.asking import ask
from worker.explain import Whose
from worker.lag import look_at_inputs
from worker.parked import WhoWaits
from worker.question import Nothing
from worker.questions import PARKED, STATUS, STORY
from worker.read_back import read_topics
from worker.settings import Settings
from worker.stopping import Refusal
from worker.stores.duckdb import DuckDBStore

PREFIX = "CUSTOMER_WORKER_"
ASK_EVERY_S = 2.0
COMMAND_RUNS = 2
READY_LIMIT_S = 120.0
WARM_BATCHES = 5
FEWEST_BATCHES = 8
FEWEST_PAIRS = 3
LETTERS = 500
EXPLAINED = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
PARKED_RECORDS = 1_000
T = TypeVar("T")
console = Console()


def main() -> None:
    arguments = _arguments()
    with running_kafka(is_measured=True) as kafka, tempfile.TemporaryDirectory() as temporary:
        bench = Bench(kafka.bootstrap_servers, Path(temporary), arguments)
        try:
            bench.run()
        finally:
            bench.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000, help="in the store before")
    parser.add_argument("--backlog", type=int, default=3_000_000, help="customers who sign up during the run")
    parser.add_argument("--pairs", type=int, default=8, help="how often quiet and asked windows take turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each window")
    return parser.parse_args()


class Bench:
    """One worker under load, and the questions."""

    def __init__(self, bootstrap_servers: str, directory: Path, arguments: argparse.Namespace) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._arguments = arguments
        self._directory = directory
        self._topics = traffic.Topics(f"asking-{time.time_ns()}.")
        self._log = directory / "log"
        self._worker: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        traffic.create(self._bootstrap_servers, self._topics)
        contestant = self._contestant()
        os.environ.update(contestant.environment)
        settings = Settings.read()
        console.print(f"filling a store with {self._arguments.customers:,} customers")
        fill(settings, self._arguments.customers)
        self._take_the_explained(contestant, settings)
        console.print(f"producing {self._arguments.backlog:,} signups and half as many cancellations")
        traffic.produce(self._bootstrap_servers, self._topics, self._arguments.backlog)
        self._start(contestant)
        self._wait_until(lambda: len(self._batches()) >= WARM_BATCHES)
        self._commands(contestant.environment)
        quiet, asked = asyncio.run(self._in_turn(settings))
        for name, rates in (("quiet", quiet), ("asked", asked)):
            console.print(f"records/s, {name}: {', '.join(f'{rate:,.0f}' for rate in rates)}", highlight=False)
        ratios = [rate / statistics.mean(quiet[place : place + 2]) for place, rate in enumerate(asked)]
        console.print(f"asked / quiet around it: {', '.join(f'{ratio:.2f}' for ratio in ratios)}", highlight=False)
        console.print(f"median: {statistics.median(ratios):.3f}", highlight=False)

    def _contestant(self) -> Contestant:
        contestant = contestants.worker(self._bootstrap_servers, self._topics, self._directory)
        [port] = free_ports(1)
        settings = {
            "HTTP__ENABLED": "true",
            "HTTP__PORT": str(port),
            "LOG__FORMAT": "json",
            "BATCH__MAX_RECORDS": "10000",
        }
        environment = {f"{PREFIX}{name}": value for name, value in settings.items()}
        return replace(contestant, environment={**os.environ, **contestant.environment, **environment})

    def _start(self, contestant: Contestant) -> None:
        with self._log.open("wb") as output:
            self._worker = subprocess.Popen(contestant.command, env=contestant.environment, stderr=output)

    def _take_the_explained(self, contestant: Contestant, settings: Settings) -> None:
        """Let the worker take a customer of whom there is a story to tell."""
        producer = raw_producer(self._bootstrap_servers)
        for topic, value in (
            (self._topics.cancellation, traffic.cancellation(EXPLAINED)),
            (self._topics.signup, traffic.signup(EXPLAINED, random.Random(1))),
        ):
            producer.produce(topic, value, EXPLAINED)
        assert producer.flush(60) == 0
        self._start(contestant)

        def is_told() -> bool:
            try:
                return any(step.is_published for step in asyncio.run(ask(settings, STORY, Whose(EXPLAINED))).steps)
            except Refusal:
                return False

        self._wait_until(is_told)
        self._stop()

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.1)

    def _stop(self) -> None:
        assert self._worker is not None
        self._worker.terminate()
        assert self._worker.wait(READY_LIMIT_S) == 0, self._log.read_text()[-2000:]

    def _commands(self, environment: Mapping[str, str]) -> None:
        """Each command as ops types it, the start of its process included."""
        table = Table("command beside the busy worker", "seconds, the process and all")
        for command in (("status",), ("explain", EXPLAINED), ("parked", "list"), ("dead-letters", "list")):
            times = []
            for _ in range(COMMAND_RUNS):
                began = time.monotonic()
                done = subprocess.run(
                    [sys.executable, "-m", "worker", *command, "--json"],
                    env=environment,
                    capture_output=True,
                    check=False,
                )
                times.append(time.monotonic() - began)
                assert done.returncode == 0, done.stderr
            table.add_row(" ".join(command), ", ".join(f"{each:.2f}" for each in times))
        console.print(table)

    async def _in_turn(self, settings: Settings) -> tuple[list[float], list[float]]:
        """Records a second while nobody asks, and while somebody does, until the backlog is used up."""
        times = Times()
        quiet, asked = [await self._window(settings, None)], list[float]()
        while len(asked) < self._arguments.pairs:
            pair = await self._window(settings, times), await self._window(settings, None)
            if 0 in pair:
                break
            asked.append(pair[0])
            quiet.append(pair[1])
        times.print()
        assert len(asked) >= FEWEST_PAIRS, "the backlog is used up: give a larger --backlog"
        return quiet, asked

    async def _window(self, settings: Settings, times: Times | None) -> float:
        begin = time.time()
        while (left := begin + self._arguments.seconds - time.time()) > 0:
            if times is not None:
                await times.ask(settings)
            await asyncio.sleep(min(left, ASK_EVERY_S))
        await asyncio.sleep(0.5)  # until what belongs to it is written to the log
        return self._measured(begin, begin + self._arguments.seconds)

    def _measured(self, begin: float, end: float) -> float:
        """From the first batch that ended in the window to the last one; 0 where there are too few to say."""
        ended = [(moment, records) for moment, records in self._batches() if begin <= moment < end]
        if len(ended) < FEWEST_BATCHES:
            return 0
        (first, _), (last, _) = ended[0], ended[-1]
        return sum(records for _, records in ended[1:]) / (last - first)

    def _batches(self) -> list[tuple[float, int]]:
        lines = self._log.read_text(errors="replace").splitlines()
        batches = [json.loads(line) for line in lines if line.endswith("}") and '"batch applied"' in line]
        return [(datetime.fromisoformat(batch["timestamp"]).timestamp(), batch["records"]) for batch in batches]

    def close(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()


class Times:
    """How long each question took, answered by the worker."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}
        self._rounds = 0

    async def ask(self, settings: Settings) -> None:
        """The status, and every third time the rest."""
        status = await self._timed("status: of the worker", ask(settings, STATUS, Nothing()))
        await self._timed("status: of Kafka", look_at_inputs(settings, status.next_offsets()))
        self._rounds += 1
        if self._rounds % 3 != 1:
            return
        story = await self._timed("explain: of the worker", ask(settings, STORY, Whose(EXPLAINED)))
        await self._timed("explain: of Kafka", read_topics(settings, story))
        await self._timed("parked list: of the worker", ask(settings, PARKED, WhoWaits(100)))

    async def _timed(self, name: str, asking: Awaitable[T]) -> T:
        began = time.monotonic()
        try:
            return await asking
        finally:
            self._seconds.setdefault(name, []).append(time.monotonic() - began)

    def print(self) -> None:
        table = Table("question beside the busy worker", "median s", "longest s")
        for name, seconds in self._seconds.items():
            table.add_row(name, f"{statistics.median(seconds):.3f}", f"{max(seconds):.3f}")
        console.print(table)


ID = "('00000000-0000-4000-8000-' || lpad(format('{:x}', number), 12, '0'))::UUID"
DECISIONS = """
    INSERT INTO journal SELECT TIMESTAMP '2026-01-01' + to_seconds(number), '{topic}', 100, {first} + number, {id},
        '{outcome}', {reason}, {event} FROM range({count}) numbers(number)
"""


def fill(settings: Settings, customers: int) -> None:
    """A store with so many customers, three decisions about each, half of them gone, 500 dead letters, 1,000 parked."""
    topics = settings.topics
    letters, store = f"{topics.cancellation}{topics.dead_letter_suffix}", DuckDBStore(settings.store.path)
    run = store._db.execute
    run(f"""
        INSERT INTO customers SELECT {ID}, 'FinTech', 'growth', DATE '2026-01-15', 499,
            CASE WHEN number % 2 = 0 THEN DATE '2026-06-30' END FROM range({customers}) numbers(number)
    """)
    for topic, first, outcome, reason, event in (
        (topics.signup, 0, "applied", "NULL", "NULL"),
        (topics.signup, customers, "duplicate", "NULL", "NULL"),
        (topics.cancellation, 0, "applied", "NULL", ID),
    ):
        run(
            DECISIONS.format(
                topic=topic, first=first, id=ID, outcome=outcome, reason=reason, event=event, count=customers
            )
        )
    run(
        DECISIONS.format(
            topic=topics.cancellation,
            first=customers,
            id=ID,
            outcome="rejected",
            reason="'already_churned'",
            event="NULL",
            count=LETTERS,
        )
    )
    run(f"""
        INSERT INTO outbox SELECT number + 1, {ID}::VARCHAR, '{topics.churned}', NULL, ''::BLOB,
            repeat('x', 300)::BLOB, '\\x90'::BLOB, {ID}, false, 1782820800000 FROM range({customers}) numbers(number)
    """)
    run(f"""
        INSERT INTO outbox
        SELECT {customers} + number + 1, '{topics.cancellation}/100/' || {customers} + number || '@1', '{letters}', 100,
            NULL, ''::BLOB, '\\x90'::BLOB, {ID}, false, 1782820800000
        FROM range({LETTERS}) numbers(number)
    """)
    run(f"""
        INSERT INTO parked SELECT number, uuid(), '{topics.cancellation}', 101, number, 0, NULL, '{{}}'::BLOB,
            '\\x90'::BLOB, TIMESTAMP '2026-01-01' FROM range({PARKED_RECORDS}) numbers(number)
    """)
    run("UPDATE relay SET published_seq = ?", [customers + LETTERS])
    run("CHECKPOINT")
    store.close()


if __name__ == "__main__":
    main()
