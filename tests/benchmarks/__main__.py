"""`python -m tests.benchmarks`: the worker beside Kafka Streams, Python frameworks and others, in one run."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks import contest, contestants, latency, peer_contest, starting, stored, traffic, workers
from tests.benchmarks.contest import Figures
from tests.benchmarks.machine import machine
from tests.support.kafka.broker import running_kafka
from tests.support.postgres.server import postgres_from_the_wheel

STREAMS_SETTINGS = ((2, 100), (2, 1000), (1, 100), (4, 100))
"""Threads and commit interval in ms: the best of these runs against the worker."""
QUICKEST_STREAMS = (2, 100)
"""An event is visible once its transaction is committed: the shortest interval is the best for latency."""
PAIRS_A_SECOND = 200
NAIVE_RECORDS = 5_000
console = Console()
Answer = dict[str, Any]


def main() -> None:
    arguments = _arguments()
    report: Answer = {"machine": machine(), "customers": arguments.customers}
    with running_kafka(is_measured=True) as kafka, tempfile.TemporaryDirectory() as temporary:
        topics = traffic.Topics(f"bench-{time.time_ns()}.")
        console.print(f"producing {arguments.customers:,} signups and {arguments.customers // 2:,} cancellations")
        traffic.create(kafka.bootstrap_servers, topics)
        traffic.produce(kafka.bootstrap_servers, topics, arguments.customers)
        bench = Bench(kafka.bootstrap_servers, topics, Path(temporary), arguments)
        for name in arguments.only or PARTS:
            console.rule(name)
            report[name] = PARTS[name](bench)
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(report, indent=2))
    console.print(f"written to {arguments.json}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_500_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=30, help="how long the latency is measured")
    parser.add_argument("--streams-settings", type=int, default=len(STREAMS_SETTINGS), help="how many to try")
    parser.add_argument("--stored", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000, 20_000_000])
    parser.add_argument("--start", type=int, nargs="+", default=[1_000_000], help="customers stored at the start")
    parser.add_argument("--peers", type=int, default=200_000, help="signups for Python frameworks, at most")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="how many, on PostgreSQL")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="only these parts")
    parser.add_argument("--json", type=Path, default=Path(".cache/benchmark.json"))
    return parser.parse_args()


class Bench:
    """Contestants in turn, each with fresh state, on the same records."""

    def __init__(
        self, bootstrap_servers: str, topics: traffic.Topics, directory: Path, arguments: argparse.Namespace
    ) -> None:
        self._servers = bootstrap_servers
        self._topics = topics
        self._directory = directory
        self._asked = arguments
        self._customers: int = arguments.customers
        self._best: tuple[int, int] | None = None

    def throughput(self) -> Answer:
        """Measure the worker and the best Kafka Streams, run by run in turn, and a bare reader."""
        threads, commit_ms = self._best_streams()
        streams = self._streams(self._topics, threads, commit_ms)
        name = f"kafka streams, {threads} threads, {commit_ms} ms"
        results: dict[str, list[Figures]] = {"worker": [], name: []}
        for _ in range(self._asked.runs):
            for figures, contestant in zip(results.values(), (self._worker(self._topics), streams), strict=True):
                figures.append(self._measure(contestant))
        medians = {name: _median(map(asdict, runs)) for name, runs in results.items()}
        bare = self._bare_reader()
        console.print(_throughput_table(medians, bare, self._customers * 3 // 2))
        return {"bare_reader_events_per_s": bare, "results": medians}

    def latency(self) -> Answer:
        """Measure the time from a cancellation until its event is visible, for the worker and Kafka Streams in turn."""
        threads, commit_ms = QUICKEST_STREAMS
        topics = traffic.Topics(f"pairs-{time.time_ns()}.")
        traffic.create(self._servers, topics)
        makers = {"worker": self._worker(topics), "kafka streams": self._streams(topics, threads, commit_ms)}
        runs: dict[str, list[Answer]] = {name: [] for name in makers}
        for _ in range(self._asked.runs):
            for name, make in makers.items():
                log = self._directory / "log"
                found = latency.measure(self._servers, topics, make(), PAIRS_A_SECOND, self._asked.seconds, log)
                console.print(f"{name}: p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms of {found.pairs}")
                runs[name].append(asdict(found))
        medians = {name: _median(those) for name, those in runs.items()}
        table = Table("", *medians, "ratio")
        for key in ("p50_ms", "p99_ms"):
            ours, theirs = (figures[key] for figures in medians.values())
            table.add_row(key, f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}")
        console.print(table)
        return medians

    def naive(self) -> Answer:
        """Measure the tutorial's way, on the first few thousand of the same records, and the worker."""
        command = [sys.executable, "-m", "tests.benchmarks.naive", self._servers, self._topics.prefix]
        rate = self._printed([*command, str(self._directory / "naive.duckdb"), str(NAIVE_RECORDS)])
        figures = self._measure(self._worker(self._topics))
        ours = self._customers * 1.5 / figures.seconds
        console.print(f"one record at a time: {rate:,.0f}/s; the worker: {ours:,.0f}/s, {ours / rate:,.0f} times")
        return {"naive_per_s": rate, "worker_per_s": ours, "ratio": ours / rate}

    def stored(self) -> list[Answer]:
        """Measure the worker on stores that hold many customers already."""
        table = Table(
            "customers stored", "events/s", "of the first", "start s", "after kill -9 s", "peak MiB", "file MiB"
        )
        found: list[Answer] = []
        for customers in self._asked.stored:
            one = stored.measure(self._servers, self._topics, self._directory, customers, self._customers)
            found.append(asdict(one))
            console.print(one, highlight=False)
            table.add_row(
                f"{customers:,}", f"{one.events_per_s:,.0f}", f"{one.events_per_s / found[0]['events_per_s']:.2f}",
                f"{one.start_s:.1f}", f"{one.restart_s:.1f}", f"{one.peak_mib:,}", f"{one.file_mib:,}",
            )  # fmt: skip
        console.print(table)
        return found

    def start(self) -> Answer:
        """Measure starts on stores that hold customers: on an idle machine, and after `kill -9` under load."""
        medians = {}
        for customers in self._asked.start:
            place = (self._directory, customers, self._asked.runs)
            cold = starting.cold(self._servers, *place)
            killed = starting.killed(self._servers, self._topics, *place)
            for name, starts in (("cold", cold), ("after kill -9", killed)):
                console.print(name, *starts, sep="\n", highlight=False)
                medians[f"{customers:,} stored, {name}"] = _median(map(asdict, starts))
        console.print(starting.table(medians))
        return medians

    def peers(self) -> Answer:
        """Measure the worker and the same job on Python frameworks, run by run in turn."""
        customers = min(self._asked.peers, self._customers)
        medians, reasons = peer_contest.measure(self._servers, self._directory, customers, self._asked.runs)
        console.print(peer_contest.table(medians, reasons))
        return {"results": {name: each._asdict() for name, each in medians.items()}, "not_measured": reasons}

    def replay(self) -> Answer:
        """Everything read again where all of it is known, beside the first time."""
        found = stored.replay(self._servers, self._topics, self._directory, self._customers)
        ratio = found.again_per_s / found.first_per_s
        console.print(f"first {found.first_per_s:,.0f}/s, again {found.again_per_s:,.0f}/s: {ratio:.2f} times")
        return asdict(found)

    def workers(self) -> Answer:
        """Measure the worker on DuckDB, and several workers on one PostgreSQL, run by run in turn."""
        wanted, events = self._customers // 2, self._customers * 3 // 2
        runs: dict[str, list[workers.WithServer]] = {workers.DUCKDB: []}
        with postgres_from_the_wheel() as server:
            for number in range(self._asked.runs):
                for count in (0, *self._asked.workers):
                    name = f"{count} on PostgreSQL" if count else workers.DUCKDB
                    place = (self._servers, self._topics, self._directory, wanted)
                    found = workers.on_postgres(*place, server, count) if count else workers.on_duckdb(*place)
                    runs.setdefault(name, []).append(found)
                    console.print(f"run {number + 1}, {name}: {events / found.seconds:,.0f} events/s, {found}")
        medians = {name: _median(map(asdict, those)) for name, those in runs.items()}
        console.print(workers.table(medians, events))
        return medians

    def _best_streams(self) -> tuple[int, int]:
        if self._best is None:
            settings = STREAMS_SETTINGS[: self._asked.streams_settings]
            self._best = settings[0]
            if len(settings) > 1:
                first = {each: self._measure(self._streams(self._topics, *each)) for each in settings}
                self._best = min(first, key=lambda each: first[each].seconds)
        return self._best

    def _worker(self, topics: traffic.Topics) -> Callable[[], contestants.Contestant]:
        return lambda: contestants.worker(self._servers, topics, self._directory)

    def _streams(self, topics: traffic.Topics, threads: int, commit_ms: int) -> Callable[[], contestants.Contestant]:
        return lambda: contestants.kafka_streams(self._servers, topics, self._directory, threads, commit_ms)

    def _measure(self, make: Callable[[], contestants.Contestant]) -> Figures:
        contestant = make()
        wanted, log = self._customers // 2, self._directory / "log"
        figures = contest.run(self._servers, contestant.output, wanted, contestant.command, contestant.environment, log)
        console.print(f"{contestant.command[-1]:>8} {figures}", highlight=False)
        return figures

    def _bare_reader(self) -> float:
        """Events a second of a loop that only reads."""
        program = [sys.executable, "-m", "tests.benchmarks.bare_reader", self._servers]
        return self._printed([*program, str(self._customers * 3 // 2), self._topics.signup, self._topics.cancellation])

    @staticmethod
    def _printed(command: list[str]) -> float:
        return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


PARTS: dict[str, Callable[[Bench], Any]] = {
    "throughput": Bench.throughput,
    "latency": Bench.latency,
    "naive": Bench.naive,
    "replay": Bench.replay,
    "workers": Bench.workers,
    "stored": Bench.stored,
    "start": Bench.start,
    "peers": Bench.peers,
}


def _median(runs: Iterable[Answer]) -> dict[str, float]:
    those = list(runs)
    return {key: statistics.median(run[key] for run in those) for key in those[0]}


def _throughput_table(medians: dict[str, dict[str, float]], bare: float, events: int) -> Table:
    ours, theirs = medians.values()
    table = Table("", *medians, "ratio")
    rates = {name: events / figures["seconds"] for name, figures in medians.items()}
    mine, other = rates.values()
    table.add_row("events/s", f"{mine:,.0f}", f"{other:,.0f}", f"{mine / other:.2f}")
    for key, title, scale in (("cpu_seconds", "CPU µs an event", 1e6 / events), ("peak_mib", "peak MiB", 1)):
        row = (f"{ours[key] * scale:,.1f}", f"{theirs[key] * scale:,.1f}", f"{ours[key] / theirs[key]:.2f}")
        table.add_row(title, *row)
    table.add_row("of a bare reader", f"{mine / bare:.2f}", "", f"bare reader: {bare:,.0f} events/s")
    return table


if __name__ == "__main__":
    main()
