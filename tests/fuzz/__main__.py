"""`python -m tests.fuzz`: compare what is read in random records, and say what differs."""

import argparse
import os
import random
import time

from rich.console import Console
from rich.table import Table

from tests.fuzz.decoding import Report, fuzz, fuzz_chunks, kinds_of_messages
from tests.fuzz.fetches import CHUNK

TOLD_EVERY_S = 10.0
console = Console(soft_wrap=True)


def main() -> None:
    """Run what was asked for; exit 1 if there is a difference."""
    asked = _arguments()
    console.print(f"seed {asked.seed}")
    if asked.worker:
        from tests.fuzz import whole_worker  # noqa: PLC0415 - it loads clients of Kafka and PostgreSQL

        raise SystemExit(whole_worker.run(asked, _tell))
    began = time.monotonic()
    if asked.at is None:
        report = fuzz(asked.seed, asked.records, asked.jobs, _Progress(asked.records))
    else:
        report = fuzz_chunks(asked.seed, [asked.at // CHUNK])
    _show(report, time.monotonic() - began)
    raise SystemExit(1 if report.differences else 0)


class _Progress:
    """Prints how far the run is, every few seconds."""

    def __init__(self, records: int) -> None:
        self._records = records
        self._began = self._told = time.monotonic()

    def __call__(self, done: int, report: Report) -> None:
        now = time.monotonic()
        if now - self._told >= TOLD_EVERY_S:
            self._told = now
            rate = done / (now - self._began)
            _tell(f"{done:,} of {self._records:,} records, {rate:,.0f}/s, {len(report.differences)} differences")


def _show(report: Report, seconds: float) -> None:
    table = Table("record", "read", box=None, pad_edge=False)
    for outcome, count in sorted(report.findings.outcomes.items()):
        table.add_row(outcome, f"{count:,}")
    console.print(table)
    read = report.findings.outcomes.total()
    _tell(
        f"{read:,} records read in three ways and {report.findings.events:,} events published in {seconds:.1f} s; "
        f"{len(kinds_of_messages(report))} kinds of messages; slowest fetch {report.slowest_s:.2f} s"
    )
    for difference in report.differences:
        console.print(difference, style="red", markup=False, highlight=False)
    _tell(f"{len(report.differences)} differences")


def _tell(text: str) -> None:
    console.print(text, markup=False, highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1_000_000_000))
    parser.add_argument("--records", type=int, default=100_000, help="how many records (default: 100000)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: all CPUs)")
    parser.add_argument("--at", type=int, help="only the records around the one with this index")
    parser.add_argument("--worker", action="store_true", help="through a whole worker, its broker and its store")
    parser.add_argument("--store", choices=["duckdb", "postgres"], default="duckdb", help="the worker's store")
    return parser.parse_args()


if __name__ == "__main__":
    main()
