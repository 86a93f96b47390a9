"""The command line of the fault suite."""

import argparse
import os
import random
import shlex
from collections.abc import Sequence
from pathlib import Path

from tests.faults import mutants
from tests.faults.fault import DUCKDB, STORES

RESULTS = Path(__file__).parents[2] / ".cache" / "faults"


class Options(argparse.Namespace):
    """The options as given. `relax` is a factor for the longest recoveries, and the reason of it."""

    seed: int
    store: str
    minutes: float
    short: bool
    only: Sequence[str] | None
    times: int
    round: int | None
    hours: float | None
    faults: int | None
    state: Path | None
    side_by_side: int
    relax: Sequence[str] | None
    results: Path | None
    mutants: Sequence[str] | None
    million: bool

    @property
    def is_long(self) -> bool:
        """Whether a long run is wanted."""
        return self.hours is not None or self.faults is not None

    @property
    def patience(self) -> float:
        """The factor for the longest recoveries."""
        return float(self.relax[0]) if self.relax else 1.0

    @property
    def relaxed(self) -> Sequence[str]:
        """The options that relax the longest recoveries."""
        return ["--relax", *self.relax] if self.relax else []

    @property
    def state_file(self) -> Path:
        """The file of a long run."""
        return self.state or RESULTS / f"run-{self.seed}.json"

    @property
    def results_file(self) -> Path:
        """The file for the results of any other run."""
        return self.results or RESULTS / f"{self.store}-{self.seed}.json"

    def again(self) -> str:
        """Return the arguments that repeat the run."""
        what = [f"--minutes {self.minutes}"]
        if self.only:
            what = ["--only", *map(shlex.quote, self.only), f"--times {self.times}"]
        elif self.short:
            what = ["--short"]
        elif self.round is not None:
            what = [f"--round {self.round}"]
        store = [] if self.round is not None else [f"--store {self.store}"]
        return " ".join([*store, f"--seed {self.seed}", *what, shlex.join(self.relaxed)]).strip()


def read_options() -> Options:
    """Read the command line; a seed that it does not have is drawn."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Injects faults into the worker.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 100_000))
    parser.add_argument("--store", choices=STORES, default=DUCKDB, help="one worker on DuckDB, or three on PostgreSQL")
    parser.add_argument("--minutes", type=float, default=30, help="how long a full run takes (default: 30)")
    parser.add_argument("--million", action="store_true", help="measure a restart with a million customers")
    parser.add_argument("--short", action="store_true", help="about four minutes")
    parser.add_argument(
        "--mutants",
        nargs="*",
        choices=[mutant.name for mutant in mutants.MUTANTS],
        metavar="NAME",
        help="verify that the suite detects these deliberately broken workers, all by default",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only faults whose names contain one of these")
    parser.add_argument("--times", type=int, default=1, help="how often each of those (default: once)")
    parser.add_argument(
        "--relax",
        nargs=2,
        metavar=("FACTOR", "REASON"),
        help="allow recoveries this much longer, on a slow or busy machine; the result shows the reason",
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="write the results there, as JSON")
    _add_long_run(parser)
    return parser.parse_args(namespace=Options())


def _add_long_run(parser: argparse.ArgumentParser) -> None:
    long = parser.add_argument_group("long run", "Rounds with both stores in turn, each on a cluster of its own.")
    long.add_argument("--hours", type=float, help="start no further round after so many hours")
    long.add_argument("--faults", type=int, metavar="COUNT", help="start no further round after so many faults")
    long.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="the file of the run, to continue it after an interruption (default: .cache/faults/run-SEED.json)",
    )
    long.add_argument(
        "--side-by-side",
        type=int,
        default=max(1, os.cpu_count() or 1),
        metavar="COUNT",
        help="rounds at a time (default: one per CPU)",
    )
    long.add_argument("--round", type=int, metavar="NUMBER", help="repeat this round of the run with the seed")
