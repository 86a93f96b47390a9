"""`python -m tests.faults`: hurt the worker for a while, and say what came of it."""

import argparse
import random
import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from tests.faults import chapter, million, mutants, schedule, summary
from tests.faults.chapter import Chapter, ChapterFailed
from tests.faults.cluster import running_cluster
from tests.faults.fault import DUCKDB, POSTGRES, STORES, Result

RESULTS = Path(__file__).parents[2] / ".cache" / "faults"
A_CHAPTER_S = 150  # about what a chapter takes
console = Console(soft_wrap=True)


def main() -> None:
    """Run what was asked for; exit 1 where an invariant does not hold, with the command that replays it."""
    asked = _arguments()
    began = time.monotonic()
    if asked.mutants is not None:
        raise SystemExit(0 if mutants.run(asked.mutants, lambda text: _tell(began, text)) else 1)
    if asked.million:
        with running_cluster() as cluster:
            million.measure(cluster, asked.seed, lambda text: _tell(began, text))
        return
    results: list[Result] = []
    failure = _play(_chapters(asked, began), asked, results)
    file = RESULTS / f"{asked.store}-{asked.seed}.json"
    summary.write(file, seed=asked.seed, seconds=time.monotonic() - began, results=results, failure=failure)
    console.print(summary.table(results))
    console.print(f"{len(results)} faults in {time.monotonic() - began:.0f} s, seed {asked.seed}; {file}")
    if failure:
        console.print(f"FAILED: {failure}", style="red", markup=False, highlight=False)
        console.print(f"replay it: python -m tests.faults {_again(asked)}", markup=False, highlight=False)
        raise SystemExit(1)


def _chapters(asked: argparse.Namespace, began: float) -> Iterable[Chapter]:
    if asked.only:
        return schedule.only(asked.only, asked.seed, asked.store)
    if asked.short:
        return schedule.short(asked.seed, asked.store)
    return _until_the_time_is_up(asked, began)


def _until_the_time_is_up(asked: argparse.Namespace, began: float) -> Iterable[Chapter]:
    """Every kind whatever it takes, then more of them while there is time."""
    wanted = {fault.name for fault in schedule.every_fault(asked.store)}
    for each in schedule.full(asked.seed, asked.store):
        if not wanted and time.monotonic() - began > asked.minutes * 60 - A_CHAPTER_S:
            return
        wanted -= {fault.name for fault in each.faults}
        yield each


def _again(asked: argparse.Namespace) -> str:
    what = ["--only", *map(shlex.quote, asked.only)] if asked.only else ["--short"] if asked.short else []
    return " ".join([f"--store {asked.store} --seed {asked.seed}", *(what or [f"--minutes {asked.minutes}"])])


def _play(chapters: Iterable[Chapter], asked: argparse.Namespace, results: list[Result]) -> str | None:
    began = time.monotonic()
    with running_cluster(on_postgres=asked.store == POSTGRES) as cluster:
        for number, each in enumerate(chapters):
            _tell(began, f"{each.name}: {len(each.faults)} faults")
            try:
                for result in chapter.run(each, cluster, asked.seed + number, RESULTS, lambda text: _tell(began, text)):
                    results.append(result)
                    _tell(began, f"  {result.fault}: {result.outcome}, well again after {result.recovery_s:.1f} s")
            except ChapterFailed as failed:
                return str(failed)
    return None


def _tell(began: float, text: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    console.print(f"{minutes:02}:{seconds:02} {text}", markup=False, highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
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
    return parser.parse_args()


if __name__ == "__main__":
    main()
