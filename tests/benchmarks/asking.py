"""`python -m tests.benchmarks.asking`: what each command takes on a large store, and what that costs a busy worker.

A store of a million customers, three million decisions and a third of a million events that are on their topic, and a
worker on it with more records to read than it can. First each command as ops types it, the start of its process
included. Then how many records a second the worker takes while nobody asks, and while a command is run every few
seconds: in turn, each stretch beside the two around it.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.acceptance.producing import raw_producer
from tests.benchmarks import contestants, traffic
from tests.benchmarks.asked_store import Sizes, fill
from tests.benchmarks.contest import cpu_seconds, unix_time
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.machine import machine
from tests.kafka.broker import running_kafka
from tests.kafka.local import free_ports
from worker.asking import ask
from worker.explain import Whose
from worker.questions import STORY
from worker.settings import Settings
from worker.stopping import Refusal

PREFIX = "CUSTOMER_WORKER_"
READY_LIMIT_S = 300.0
WARM_BATCHES = 5
FEWEST_BATCHES = 4
EXPLAINED = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
COMMANDS = (
    ("status",),
    ("explain", EXPLAINED),
    ("parked", "list"),
    ("dead-letters", "list"),
    ("reconcile", "--full"),  # which leaves what the next one needs not read again
    ("reconcile",),
)
WITHOUT_WORKER = ("replay", "--topic", "cancellation", "--partition", "0", "--to-offset", "1000")
"""A dry run; with DuckDB, a worker that runs has the store to itself."""
ASKED = (*COMMANDS[:4], ("reconcile",))
console = Console()


def main() -> None:
    arguments = _arguments()
    report: dict[str, Any] = {"machine": machine(), "sizes": vars(arguments) | {"json": None}}
    with running_kafka(is_measured=True) as kafka, tempfile.TemporaryDirectory() as temporary:
        bench = Bench(kafka.bootstrap_servers, Path(temporary), arguments)
        try:
            bench.prepare()
            commands = bench.commands()
            slowdown = bench.slowdown()
            commands.append(bench.command_without_worker())
        finally:
            bench.close()
    report |= {"load_after": os.getloadavg()[0], "commands": [asdict(one) for one in commands], "slowdown": slowdown}
    _print(commands, report)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2))
    console.print(f"written to {arguments.json}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000, help="in the store before")
    parser.add_argument("--decisions", type=int, default=3_000_000, help="in its journal")
    parser.add_argument("--events", type=int, default=333_000, help="of customers who left, on their topic")
    parser.add_argument("--letters", type=int, default=500, help="dead letters")
    parser.add_argument("--parked", type=int, default=1_000, help="cancellations that wait")
    parser.add_argument("--backlog", type=int, default=3_000_000, help="customers who sign up during the run")
    parser.add_argument("--runs", type=int, default=3, help="of each command")
    parser.add_argument("--pairs", type=int, default=3, help="how often quiet and asked windows take turns")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each window")
    parser.add_argument("--every", type=float, default=10.0, help="seconds from one command to the next, when asked")
    parser.add_argument("--json", type=Path, default=Path(".cache/asking.json"))
    return parser.parse_args()


@dataclass(frozen=True)
class Took:
    """What runs of a command took: seconds until its answer, and of CPU in its own process."""

    command: str
    seconds: list[float]
    cpu_seconds: list[float]


class Window(NamedTuple):
    """How the worker did for some seconds: how many batches, records a second, and µs of its CPU a record."""

    batches: int
    records_per_s: float
    cpu_us: float


class Bench:
    """One worker under load, and the commands."""

    def __init__(self, bootstrap_servers: str, directory: Path, arguments: argparse.Namespace) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._arguments = arguments
        self._topics = traffic.Topics(f"asking-{time.time_ns()}.")
        self._log = directory / "log"
        traffic.create(bootstrap_servers, self._topics)
        self._contestant = _served(contestants.worker(bootstrap_servers, self._topics, directory), directory)
        self._worker: subprocess.Popen[bytes] | None = None
        os.environ.update(self._contestant.environment)

    def prepare(self) -> None:
        """A full store, its events on their topic, and a worker under load."""
        asked, settings = self._arguments, Settings.read()
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("filling the store", total=asked.events)
            sizes = Sizes(asked.customers, asked.decisions, asked.events, asked.letters, asked.parked)
            fill(settings, sizes, lambda done: progress.update(bar, completed=done))
        console.print(f"filled: {asked.customers:,} customers, {asked.decisions:,} decisions, {asked.events:,} events")
        self._take_the_explained(settings)
        console.print("published")
        traffic.produce(self._bootstrap_servers, self._topics, asked.backlog)
        console.print(f"produced: {asked.backlog:,} signups and half as many cancellations")
        self._start()
        self._wait_until(lambda: len(self._batches()) >= WARM_BATCHES)

    def _take_the_explained(self, settings: Settings) -> None:
        """Let the worker take a customer of whom there is a story to tell, and publish that after all that waits."""
        producer = raw_producer(self._bootstrap_servers)
        for topic, value in (
            (self._topics.cancellation, traffic.cancellation(EXPLAINED)),
            (self._topics.signup, traffic.signup(EXPLAINED, random.Random(1))),
        ):
            producer.produce(topic, value, EXPLAINED)
        assert producer.flush(60) == 0
        self._start()

        def is_told() -> bool:
            try:
                return any(step.is_published for step in asyncio.run(ask(settings, STORY, Whose(EXPLAINED))).steps)
            except Refusal:
                return False

        self._wait_until(is_told)
        self._stop()

    def commands(self) -> list[Took]:
        """Each command beside the busy worker."""
        return [self._took(command, self._arguments.runs) for command in COMMANDS]

    def command_without_worker(self) -> Took:
        """The one that needs the store to itself."""
        self._stop()
        return self._took(WITHOUT_WORKER, self._arguments.runs)

    def _took(self, command: Sequence[str], runs: int) -> Took:
        times = [_run(command) for _ in range(runs)]
        took = Took(" ".join(command), [seconds for seconds, _ in times], [cpu for _, cpu in times])
        console.print(took.command, f"{statistics.median(took.seconds):.2f} s", highlight=False)
        return took

    def slowdown(self) -> dict[str, Any] | None:
        """The worker while nobody asks, and while somebody does, until the backlog is used up; None where it was."""
        commands = cycle(ASKED)
        windows = [self._window(None)]
        for _ in range(self._arguments.pairs):
            windows += [self._window(commands), self._window(None)]
            if windows[-1].batches < FEWEST_BATCHES:
                windows = windows[:-2]
                break
            asked, quiet = windows[-2:]
            console.print(f"asked {asked.records_per_s:,.0f}, quiet {quiet.records_per_s:,.0f} records/s")
        if len(windows) == 1:
            return None
        return {
            "windows": [window._asdict() for window in windows],
            "records_per_s": _beside([window.records_per_s for window in windows]),
            "cpu_us": _beside([window.cpu_us for window in windows]),
        }

    def _window(self, commands: Iterator[Sequence[str]] | None) -> Window:
        assert self._worker is not None
        begin, cpu_before = time.time(), cpu_seconds(self._worker.pid)
        end = begin + self._arguments.seconds
        while (now := time.time()) < end:
            if commands is not None:
                _run(next(commands))
            time.sleep(max(0.0, min(end, now + self._arguments.every) - time.time()))
        cpu = cpu_seconds(self._worker.pid) - cpu_before
        took = time.time() - begin
        time.sleep(0.5)  # until what belongs to it is written to the log
        batches = [records for moment, records in self._batches() if begin <= moment < begin + took]
        return Window(len(batches), sum(batches) / took, cpu / max(1, sum(batches)) * 1e6)

    def _batches(self) -> list[tuple[float, int]]:
        lines = self._log.read_text(errors="replace").splitlines()
        batches = [json.loads(line) for line in lines if line.endswith("}") and '"batch applied"' in line]
        return [(unix_time(batch["timestamp"]), batch["records"]) for batch in batches]

    def _start(self) -> None:
        with self._log.open("wb") as output:
            self._worker = subprocess.Popen(self._contestant.command, env=os.environ, stderr=output)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.2)

    def _stop(self) -> None:
        assert self._worker is not None
        self._worker.terminate()
        assert self._worker.wait(READY_LIMIT_S) == 0, self._log.read_text()[-2000:]

    def close(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()


def _served(contestant: Contestant, directory: Path) -> Contestant:
    """The contestant with a port to be asked at, and commands with a cache of their own."""
    [port] = free_ports(1)
    settings = {
        "HTTP__ENABLED": "true",
        "HTTP__PORT": str(port),
        "LOG__FORMAT": "json",
        "BATCH__MAX_RECORDS": "10000",
    }
    more = {f"{PREFIX}{name}": value for name, value in settings.items()} | {"XDG_CACHE_HOME": str(directory / "cache")}
    return replace(contestant, environment={**contestant.environment, **more})


def _run(command: Sequence[str]) -> tuple[float, float]:
    """Run it: how many seconds it took, and of CPU."""
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "worker", *command, "--json"], stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        took = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        assert process.returncode == 0, f"{command}: {output.read()[-2000:].decode()}"
    return took, used.ru_utime + used.ru_stime


def _beside(figures: Sequence[float]) -> float:
    """Quiet and asked in turn: the median of each asked one to the mean of the two around it."""
    return statistics.median(
        asked / statistics.mean((before, after))
        for before, asked, after in zip(figures[::2], figures[1::2], figures[2::2], strict=False)
    )


def _print(commands: Sequence[Took], report: dict[str, Any]) -> None:
    table = Table("command", "seconds", "median", "of CPU")
    for took in commands:
        seconds = ", ".join(f"{each:.2f}" for each in took.seconds)
        table.add_row(
            took.command,
            seconds,
            f"{statistics.median(took.seconds):.2f}",
            f"{statistics.median(took.cpu_seconds):.2f}",
        )
    console.print(table)
    if (slowdown := report["slowdown"]) is None:
        console.print("The backlog was used up before the slowdown was measured: give a larger --backlog")
    else:
        console.print(
            f"the worker while asked, beside while quiet: {slowdown['records_per_s']:.3f} of the records a second, "
            f"{slowdown['cpu_us']:.3f} of the CPU a record",
            highlight=False,
        )
    load = f"load {report['machine']['load']:.1f} before, {report['load_after']:.1f} after"
    console.print(f"{load}, {report['machine']['cores']} cores", highlight=False)


if __name__ == "__main__":
    main()
