"""`python -m tests.benchmarks.asking`: what each command takes on a large store, and what that costs a busy worker.

A store of a million customers, three million decisions and a third of a million events that are on their topic, and a
worker on it with more records to read than it can. First each command as ops types it, the start of its process
included. Then by how much the commands slow the worker down: see `tests.benchmarks.slowdown`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.benchmarks import traffic
from tests.benchmarks.asked_store import Sizes, fill
from tests.benchmarks.busy_worker import BusyWorker, run
from tests.benchmarks.machine import machine
from tests.benchmarks.slowdown import WARM_BATCHES, Load, measure, table
from tests.support.kafka.broker import running_kafka
from tests.support.producing import raw_producer
from worker.errors import Refusal
from worker.queries.catalogue import HISTORY
from worker.queries.client import run_query
from worker.queries.explain import ExplainQuery
from worker.settings import Settings

EXPLAINED = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
COMMANDS = (
    ("status",),
    ("explain", EXPLAINED),
    ("parked", "list"),
    ("dead-letters", "list"),
    ("churn",),
    ("reconcile", "--full"),  # which leaves what the next one needs not read again
    ("reconcile",),
)
WITHOUT_WORKER = ("replay", "--topic", "cancellation", "--partition", "0", "--to-offset", "1000")
"""A dry run; with DuckDB, a worker that runs has the store to itself."""
ASKED = (*COMMANDS[:4], ("reconcile",))
console = Console()


def main() -> None:
    arguments = parser(__doc__).parse_args()
    report: dict[str, Any] = {"machine": machine(), "sizes": vars(arguments) | {"json": None}}
    with running_kafka(is_measured=True) as kafka, tempfile.TemporaryDirectory() as temporary:
        bench = Bench(kafka.bootstrap_servers, Path(temporary), arguments)
        try:
            bench.prepare()
            commands = bench.commands()
            slowdown = bench.slowdown()
        finally:
            bench.close()
    report |= {"load_after": os.getloadavg()[0], "commands": [asdict(one) for one in commands], "slowdown": slowdown}
    _print(commands, report)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2))
    console.print(f"written to {arguments.json}")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the sizes, which other benchmarks on such a store share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--customers", type=int, default=1_000_000, help="in the store before")
    parser.add_argument("--decisions", type=int, default=3_000_000, help="in its journal")
    parser.add_argument("--events", type=int, default=333_000, help="of customers who left, on their topic")
    parser.add_argument("--letters", type=int, default=500, help="dead letters")
    parser.add_argument("--parked", type=int, default=1_000, help="cancellations that wait")
    parser.add_argument("--signups", type=int, default=3_400_000, help="of new customers, for the worker to read")
    parser.add_argument("--runs", type=int, default=3, help="of each command")
    parser.add_argument("--pairs", type=int, default=4, help="of a quiet stretch and an asked one")
    parser.add_argument("--records", type=int, default=2_600_000, help="of the signups, measured in each stretch")
    parser.add_argument("--every", type=float, default=10.0, help="seconds from one command to the next, when asked")
    parser.add_argument("--json", type=Path, default=Path(".cache/asking.json"))
    return parser


@dataclass(frozen=True)
class Took:
    """The cost of runs of a command: seconds until its answer, and of CPU in its own process."""

    command: str
    seconds: list[float]
    cpu_seconds: list[float]


class Bench:
    """One worker under load, and the commands."""

    def __init__(self, bootstrap_servers: str, directory: Path, arguments: argparse.Namespace) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._arguments = arguments
        self._load = Load(arguments.signups, arguments.records)
        self._topics = traffic.Topics(f"asking-{time.time_ns()}.")
        traffic.create(bootstrap_servers, self._topics)
        self._worker = BusyWorker(bootstrap_servers, self._topics, directory)

    def prepare(self) -> None:
        """Prepare a full store, of which there is a copy, its events on their topic, and records to read."""
        asked, settings = self._arguments, Settings.read()
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("filling the store", total=asked.events)
            sizes = Sizes(asked.customers, asked.decisions, asked.events, asked.letters, asked.parked)
            fill(settings, sizes, lambda done: progress.update(bar, completed=done))
        console.print(f"filled: {asked.customers:,} customers, {asked.decisions:,} decisions, {asked.events:,} events")
        self._take_the_explained(settings)
        self._worker.copy_store()
        console.print("published")
        traffic.produce(self._bootstrap_servers, self._topics, asked.signups)
        console.print(f"produced: {asked.signups:,} signups and half as many cancellations")

    def _take_the_explained(self, settings: Settings) -> None:
        """Let the worker take a customer of whom there is a story to tell, and publish that after all that waits."""
        producer = raw_producer(self._bootstrap_servers)
        for topic, value in (
            (self._topics.cancellation, traffic.cancellation(EXPLAINED)),
            (self._topics.signup, traffic.signup(EXPLAINED, random.Random(1))),
        ):
            producer.produce(topic, value, EXPLAINED)
        assert producer.flush(60) == 0

        def is_told() -> bool:
            try:
                history = asyncio.run(run_query(settings, HISTORY, ExplainQuery(EXPLAINED)))
                return any(step.is_published for step in history.steps)
            except Refusal:
                return False

        self._worker.start()
        self._worker.wait_until(is_told)
        self._worker.stop()

    def commands(self) -> list[Took]:
        """Each command beside the busy worker; then the one that needs the store to itself."""
        self._worker.start()
        self._worker.wait_until(lambda: len(self._worker.batches()) >= WARM_BATCHES)
        took = [self._took(command) for command in COMMANDS]
        reached = self._worker.batches()[-1].reached
        console.print(f"the worker has taken {reached:,} records")
        self._load.require(reached)  # else it was not busy beside the last ones
        self._worker.stop()
        return [*took, self._took(WITHOUT_WORKER)]

    def _took(self, command: Sequence[str]) -> Took:
        times = [run(command) for _ in range(self._arguments.runs)]
        took = Took(" ".join(command), [each.seconds for each in times], [each.cpu_seconds for each in times])
        console.print(took.command, f"{statistics.median(took.seconds):.2f} s", highlight=False)
        return took

    def slowdown(self) -> dict[str, Any]:
        """Measure the worker at the same work while nobody queries it, and while somebody does."""
        return self.slowdown_by(*ASKED)

    def slowdown_by(self, *commands: Sequence[str]) -> dict[str, Any]:
        """Measure the worker at the same work without commands, and with one of these every few seconds, in turn."""
        asked = self._arguments
        return measure(self._worker, self._load, asked.pairs, commands, asked.every, console)

    def close(self) -> None:
        self._worker.close()


def _print(commands: Sequence[Took], report: dict[str, Any]) -> None:
    times = Table("command", "seconds", "median", "of CPU")
    for took in commands:
        seconds = ", ".join(f"{each:.2f}" for each in took.seconds)
        times.add_row(
            took.command,
            seconds,
            f"{statistics.median(took.seconds):.2f}",
            f"{statistics.median(took.cpu_seconds):.2f}",
        )
    console.print(times)
    console.print(table(report["slowdown"]))
    load = f"load {report['machine']['load']:.1f} before, {report['load_after']:.1f} after"
    console.print(f"{load}, {report['machine']['cores']} cores", highlight=False)


if __name__ == "__main__":
    main()
