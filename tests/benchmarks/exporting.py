"""`python -m tests.benchmarks.exporting`: what it takes to read whole tables, and what that costs a busy worker.

On the store of `tests.benchmarks.asking`, beside a worker with more records to read than it can: each command's time,
CPU time and memory, the size of its file, and by how much the worker's memory grew. Then by how much exports slow the
worker down: see `tests.benchmarks.slowdown`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.asking import Bench, parser
from tests.benchmarks.busy_worker import run
from tests.benchmarks.machine import machine
from tests.benchmarks.slowdown import WARM_BATCHES, table
from tests.support.kafka.broker import running_kafka

EXPORTS = (
    ("customers", "parquet"),
    ("customers", "csv"),
    ("churned", "parquet"),
    ("journal", "parquet"),
)
console = Console()


def main() -> None:
    arguments = _arguments()
    report: dict[str, Any] = {"machine": machine(), "sizes": vars(arguments) | {"json": None}}
    with running_kafka(is_measured=True) as kafka, tempfile.TemporaryDirectory() as temporary:
        bench = ExportBench(kafka.bootstrap_servers, Path(temporary), arguments)
        try:
            bench.prepare()
            report["commands"] = [asdict(each) for each in bench.measured()]
            report["slowdown"] = bench.slowdown_by(bench.export("customers", "parquet"))
        finally:
            bench.close()
    report["load_after"] = os.getloadavg()[0]
    _print(report)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2))
    console.print(f"written to {arguments.json}")


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.set_defaults(json=Path(".cache/exporting.json"))
    return made.parse_args()


@dataclass(frozen=True)
class Measured:
    """Runs of a command beside the busy worker. `worker_mib` is by how much the worker's memory grew at most."""

    command: str
    seconds: list[float]
    cpu_seconds: list[float]
    file_mib: float
    peak_mib: int
    worker_mib: int


class ExportBench(Bench):
    """One worker under load, and commands that read whole tables."""

    def __init__(self, bootstrap_servers: str, directory: Path, arguments: argparse.Namespace) -> None:
        super().__init__(bootstrap_servers, directory, arguments)
        self._files = directory / "files"
        self._files.mkdir()

    def export(self, name: str, suffix: str) -> tuple[str, ...]:
        """Return the command that exports a table."""
        return ("export", str(self._files / f"{name}.{suffix}"), "--table", name, "--force")

    def measured(self) -> list[Measured]:
        """Measure each command beside the busy worker."""
        self._worker.start()
        self._worker.wait_until(lambda: len(self._worker.batches()) >= WARM_BATCHES)
        done = [
            *(self._of(f"export {name}.{suffix}", self.export(name, suffix)) for name, suffix in EXPORTS),
        ]
        self._load.require(self._worker.batches()[-1].reached)
        self._worker.stop()
        return done

    def _of(self, shown: str, command: Sequence[str]) -> Measured:
        before = self._worker.forget_peak()
        runs = [run(command) for _ in range(self._arguments.runs)]
        file = Path(command[1])
        measured = Measured(
            shown,
            [each.seconds for each in runs],
            [each.cpu_seconds for each in runs],
            file.stat().st_size / 2**20 if file.exists() else 0,
            max(each.peak_mib for each in runs),
            self._worker.peak_mib() - before,
        )
        console.print(shown, f"{statistics.median(measured.seconds):.2f} s", highlight=False)
        return measured


def _print(report: dict[str, Any]) -> None:
    columns = ("command", "seconds", "median", "of CPU", "file, MiB", "memory, MiB", "worker's memory, MiB")
    shown = Table(*columns)
    for each in (Measured(**one) for one in report["commands"]):
        shown.add_row(
            each.command,
            ", ".join(f"{one:.2f}" for one in each.seconds),
            f"{statistics.median(each.seconds):.2f}",
            f"{statistics.median(each.cpu_seconds):.2f}",
            f"{each.file_mib:.1f}",
            str(each.peak_mib),
            f"{each.worker_mib:+}",
        )
    console.print(shown)
    console.print(table(report["slowdown"]))
    load = f"load {report['machine']['load']:.1f} before, {report['load_after']:.1f} after"
    console.print(f"{load}, {report['machine']['cores']} cores", highlight=False)


if __name__ == "__main__":
    main()
