"""By how much the commands slow the worker down that they are run beside.

A busy worker's speed drifts by itself: its store grows, and checkpoints fall here or there. So it does identical work
again and again, the same signups on the same copy of its store. In one stretch of it nobody asks, in another a command
is run every few seconds. Quiet, asked, asked, quiet, and again: what drifts with the machine evens out.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.benchmarks.busy_worker import MAX_RECORDS, BusyWorker, run

WARM_BATCHES = 5
ORDER = (False, True, True, False)

Commands = Iterator[Sequence[str]]


@dataclass(frozen=True)
class Load:
    """The signups that there are on the topic, and how many records of them are measured once the worker is warm."""

    signups: int
    records: int

    def __post_init__(self) -> None:
        self.require(WARM_BATCHES * MAX_RECORDS + self.records)

    def require(self, reached: int) -> None:
        """See that so many records, and a batch in hand, are signups: the cancellations after them bring events."""
        if reached + MAX_RECORDS > self.signups:
            raise SystemExit(f"{self.signups:,} signups are too few to read {reached:,} and a batch: raise --signups")


@dataclass(frozen=True)
class Stretch:
    """The result of a run: `commands` is the number started meanwhile, `cpu_us` the worker's own CPU per record."""

    is_asked: bool
    commands: int
    records: int
    seconds: float
    records_per_s: float
    cpu_us: float


def measure(
    worker: BusyWorker, load: Load, pairs: int, commands: Sequence[Sequence[str]], every: float, console: Console
) -> dict[str, Any]:
    """So many pairs of a quiet stretch and an asked one: one of the `commands`, in turn, each `every` seconds."""
    turns = cycle(commands)
    order = list(islice(cycle(ORDER), 2 * pairs))
    stretches = [
        _stretch(worker, load, turns if is_asked else None, every)
        for is_asked in track(order, "the same work, quiet and asked", console=console, transient=True)
    ]
    return {
        "stretches": [asdict(stretch) for stretch in stretches],
        "records_per_s": _asked_to_quiet(stretches, lambda one: one.records_per_s),
        "cpu_us": _asked_to_quiet(stretches, lambda one: one.cpu_us),
    }


def _stretch(worker: BusyWorker, load: Load, turns: Commands | None, every: float) -> Stretch:
    worker.put_store_back()
    worker.start()
    worker.wait_until(lambda: len(worker.batches()) >= WARM_BATCHES)
    cpu_before, warm = worker.cpu_seconds(), worker.batches()[WARM_BATCHES - 1]
    wanted = warm.reached + load.records
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as pool:  # a command can take longer than what is left of the stretch
        asking = pool.submit(_ask, turns, every, is_over)
        try:
            worker.wait_until(lambda: worker.batches()[-1].reached >= wanted)
            cpu = worker.cpu_seconds() - cpu_before
        finally:
            is_over.set()
        begun = asking.result()
    load.require(worker.batches()[-1].reached)  # after the last command: what is published would stay on its topic
    last = next(batch for batch in worker.batches() if batch.reached >= wanted)
    worker.stop()
    records, seconds = last.reached - warm.reached, last.moment - warm.moment
    return Stretch(turns is not None, begun, records, seconds, records / seconds, cpu / records * 1e6)


def _ask(turns: Commands | None, every: float, is_over: threading.Event) -> int:
    """Run a command every so many seconds, the first one now; how many there were."""
    if turns is None:
        return 0
    begun = 0
    due = time.monotonic()
    while not is_over.wait(max(0.0, due - time.monotonic())):
        run(next(turns))
        begun += 1
        due += every
    return begun


def _asked_to_quiet(stretches: Sequence[Stretch], figure: Callable[[Stretch], float]) -> float:
    """Return the ratio of the median of the stretches with queries to that of the quiet ones."""
    asked, quiet = ([figure(one) for one in stretches if one.is_asked is which] for which in (True, False))
    return statistics.median(asked) / statistics.median(quiet)


def table(slowdown: dict[str, Any]) -> Table:
    """Each stretch, and below them the median of the asked ones to that of the quiet ones."""
    shown = Table("stretch", "commands", "records", "seconds", "records/s", "CPU µs a record")
    for stretch in (Stretch(**each) for each in slowdown["stretches"]):
        shown.add_row(
            "asked" if stretch.is_asked else "quiet",
            str(stretch.commands),
            f"{stretch.records:,}",
            f"{stretch.seconds:.1f}",
            f"{stretch.records_per_s:,.0f}",
            f"{stretch.cpu_us:.2f}",
        )
    shown.add_section()
    shown.add_row("asked / quiet", "", "", "", f"{slowdown['records_per_s']:.3f}", f"{slowdown['cpu_us']:.3f}")
    return shown
