"""A long run: rounds of faults with both stores in turn, each in a process and on a cluster of its own.

Most faults are waited for, so that several rounds fit on one machine at a time.
"""

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults import schedule
from tests.faults.fault import Result
from tests.faults.saved_run import Round, SavedRun
from tests.support.processes import MODULE, REPOSITORY

A_ROUND_LIMIT_S = 3600.0
STOP_LIMIT_S = 120.0
LOOK_EVERY_S = 0.5
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Bounds:
    """A run starts no further round once it has lasted `hours`, or has `faults`, whichever comes first."""

    hours: float | None
    faults: int | None

    def are_reached(self, saved: SavedRun) -> bool:
        """Return whether one of them is reached."""
        is_late = self.hours is not None and saved.seconds >= self.hours * 3600
        return is_late or (self.faults is not None and len(saved.results) >= self.faults)


class LongRun:
    """A run that goes on where it was interrupted. `options` are passed on to each round."""

    def __init__(self, saved: SavedRun, bounds: Bounds, options: Sequence[str], tell: Tell) -> None:
        self._saved = saved
        self._bounds = bounds
        self._options = options
        self._tell = tell
        self._running: dict[int, _RunningRound] = {}
        self._counted_at = time.monotonic()

    def run(self, side_by_side: int) -> None:
        """Run rounds until a bound is reached; those that run then are finished. An interruption ends them."""
        try:
            while self._start(side_by_side):
                time.sleep(LOOK_EVERY_S)
                self._count_time()
                for number in [number for number, each in self._running.items() if each.is_over()]:
                    self._take(number)
        finally:
            for each in self._running.values():
                each.terminate()
            for each in self._running.values():
                each.wait()

    def _start(self, side_by_side: int) -> bool:
        """Start what is to run now; returns whether anything runs."""
        while len(self._running) < side_by_side and not self._bounds.are_reached(self._saved):
            number = self._saved.next_number(set(self._running))
            self._running[number] = _RunningRound(number, self._saved, self._options)
            self._tell(f"round {number} ({schedule.store_of_round(number)}): {self._running[number].log}")
        return bool(self._running)

    def _take(self, number: int) -> None:
        ended = self._running.pop(number).result()
        self._saved.rounds[number] = ended
        self._saved.save()
        count = len(self._saved.results)
        self._tell(
            f"round {number} ({ended.store}): {len(ended.faults)} faults in {ended.seconds:.0f} s; in all {count}, "
            f"{self._saved.faults_an_hour:.0f} an hour"
        )
        if ended.failure is not None:
            self._tell(f"FAILED: {ended.failure}\nlog: {ended.log}\nreplay it: {ended.replay}")

    def _count_time(self) -> None:
        now = time.monotonic()
        self._saved.seconds += now - self._counted_at
        self._counted_at = now


class _RunningRound:
    """A round as a process."""

    def __init__(self, number: int, saved: SavedRun, options: Sequence[str]) -> None:
        self._store = schedule.store_of_round(number)
        self._began = time.monotonic()
        arguments = ["--seed", str(saved.seed), "--round", str(number), *options]
        self._replay = f"python -m tests.faults {shlex.join(arguments)}"
        directory = saved.file.with_suffix("")
        directory.mkdir(parents=True, exist_ok=True)
        self._results = directory / f"round-{number}.json"
        self._results.unlink(missing_ok=True)
        self.log = directory / f"round-{number}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*MODULE, "tests.faults", *arguments, "--results", str(self._results)],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # an interruption from the keyboard reaches it by `terminate` alone
            )

    def is_over(self) -> bool:
        """Return whether it has ended; one that takes too long is ended."""
        if time.monotonic() - self._began > A_ROUND_LIMIT_S:
            self.terminate()
            self.wait()
        return self._process.poll() is not None

    def terminate(self) -> None:
        """Let it clean up and end."""
        self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended; one that hangs is killed."""
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def result(self) -> Round:
        """Return the round that has ended."""
        faults: list[Result] = []
        failure: str | None = f"the round ended with {self._process.returncode}"
        if self._results.exists():
            content = json.loads(self._results.read_text())
            faults, failure = [Result(**each) for each in content["faults"]], content["failure"]
        return Round(self._store, time.monotonic() - self._began, failure, self._replay, str(self.log), faults)


def stop_on_sigterm() -> None:
    """Let SIGTERM interrupt this process as the keyboard does: clusters are stopped, and disks unmounted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
