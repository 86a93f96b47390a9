"""`python -m tests.benchmarks`: throughput beside Kafka Streams and a bare reader, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import contest, contestants, traffic
from tests.benchmarks.contest import Figures
from tests.kafka.broker import running_kafka

STREAMS_SETTINGS = ((2, 100), (2, 1000), (1, 100), (4, 100))
"""Threads and commit interval in ms."""
console = Console()


def main() -> None:
    arguments = _arguments()
    with running_kafka() as kafka, tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        topics = traffic.Topics("bench.")
        console.print(f"producing {arguments.customers:,} signups and {arguments.customers // 2:,} cancellations")
        traffic.create(kafka.bootstrap_servers, topics)
        traffic.produce(kafka.bootstrap_servers, topics, arguments.customers)
        bench = Bench(kafka.bootstrap_servers, topics, directory, arguments.customers)
        results = bench.compare(arguments.runs, STREAMS_SETTINGS[: arguments.streams_settings])
        bare = bench.bare_reader()
    _print(results, bare, arguments.customers * 3 // 2)
    report = {"machine": _machine(), "bare_reader_events_per_s": bare, "results": _medians(results)}
    arguments.json.write_text(json.dumps(report, indent=2))
    console.print(f"written to {arguments.json}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_500_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--streams-settings", type=int, default=len(STREAMS_SETTINGS), help="how many to try")
    parser.add_argument("--json", type=Path, default=Path(".cache/benchmark.json"))
    return parser.parse_args()


class Bench:
    """Contestants in turn, each with fresh state, on the same records."""

    def __init__(self, bootstrap_servers: str, topics: traffic.Topics, directory: Path, customers: int) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._directory = directory
        self._customers = customers

    def compare(self, runs: int, settings: tuple[tuple[int, int], ...]) -> dict[str, list[Figures]]:
        """The worker and the best Kafka Streams, run by run in turn."""
        threads, commit_ms = settings[0]
        if len(settings) > 1:
            first = {setting: self._measure(self._streams(*setting)) for setting in settings}
            threads, commit_ms = min(first, key=lambda setting: first[setting].seconds)
        streams = self._streams(threads, commit_ms)
        results: dict[str, list[Figures]] = {"worker": [], f"kafka streams, {threads} threads, {commit_ms} ms": []}
        for _ in range(runs):
            for figures, contestant in zip(results.values(), (self._worker, streams), strict=True):
                figures.append(self._measure(contestant))
        return results

    def _worker(self) -> contestants.Contestant:
        return contestants.worker(self._bootstrap_servers, self._topics, self._directory)

    def _streams(self, threads: int, commit_ms: int) -> Callable[[], contestants.Contestant]:
        return lambda: contestants.kafka_streams(
            self._bootstrap_servers, self._topics, self._directory, threads, commit_ms
        )

    def _measure(self, make: Callable[[], contestants.Contestant]) -> Figures:
        contestant = make()
        figures = contest.run(
            self._bootstrap_servers,
            contestant.output,
            self._customers // 2,
            contestant.command,
            contestant.environment,
            self._directory / "log",
        )
        console.print(f"{contestant.command[-1]:>8} {figures}", highlight=False)
        return figures

    def bare_reader(self) -> float:
        """Events a second of a loop that only reads."""
        program = [sys.executable, "-m", "tests.benchmarks.bare_reader", self._bootstrap_servers]
        command = [*program, str(self._customers * 3 // 2), self._topics.signup, self._topics.cancellation]
        return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


def _medians(results: dict[str, list[Figures]]) -> dict[str, dict[str, float]]:
    return {
        name: {key: statistics.median(asdict(run)[key] for run in runs) for key in asdict(runs[0])}
        for name, runs in results.items()
    }


def _print(results: dict[str, list[Figures]], bare: float, events: int) -> None:
    medians = _medians(results)
    ours, theirs = medians.values()
    table = Table("", *medians, "ratio")
    rates = {name: events / figures["seconds"] for name, figures in medians.items()}
    mine, other = rates.values()
    table.add_row("events/s", f"{mine:,.0f}", f"{other:,.0f}", f"{mine / other:.2f}")
    for key, title, scale in (("cpu_seconds", "CPU µs an event", 1e6 / events), ("peak_mib", "peak MiB", 1)):
        row = (f"{ours[key] * scale:,.1f}", f"{theirs[key] * scale:,.1f}", f"{ours[key] / theirs[key]:.2f}")
        table.add_row(title, *row)
    table.add_row("of a bare reader", f"{mine / bare:.2f}", "", f"bare reader: {bare:,.0f} events/s")
    console.print(table)


def _machine() -> dict[str, str | int | None]:
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}


if __name__ == "__main__":
    main()
