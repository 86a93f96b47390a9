"""`python -m tests.faults`: injects faults into the worker and what it depends on, and compares all results."""

import time
from collections.abc import Iterable
from contextlib import suppress

from rich.console import Console

from tests.faults import chapter, long_run, million, mutants, saved_run, schedule, summary
from tests.faults.chapter import Chapter, ChapterFailed
from tests.faults.cluster import running_cluster
from tests.faults.fault import POSTGRES, Result
from tests.faults.options import RESULTS, Options, read_options
from tests.support.processes import fork_server

A_CHAPTER_S = 150  # about what a chapter takes
console = Console(soft_wrap=True)


def main() -> None:
    """Run as the command line asks; exit 1 where an invariant does not hold, with the command that replays it."""
    asked = read_options()
    long_run.stop_on_sigterm()
    began = time.monotonic()
    if asked.mutants is not None:
        raise SystemExit(0 if mutants.run(asked.mutants, lambda text: _tell(began, text)) else 1)
    if asked.million:
        with running_cluster() as cluster:
            million.measure(cluster, asked.seed, lambda text: _tell(began, text))
        return
    raise SystemExit(0 if (_run_long if asked.is_long else _run_once)(asked, began) else 1)


def _run_long(asked: Options, began: float) -> bool:
    saved = saved_run.load(asked.state_file, asked.seed)
    _tell(began, f"seed {saved.seed}, {len(saved.results)} faults so far; {saved.file}")
    bounds = long_run.Bounds(asked.hours, asked.faults)
    with suppress(KeyboardInterrupt):
        long_run.LongRun(saved, bounds, asked.relaxed, lambda text: _tell(began, text)).run(asked.side_by_side)
    _show(asked, saved.results)
    console.print(
        f"{len(saved.results)} faults in {len(saved.rounds)} rounds, {saved.seconds / 3600:.1f} hours, "
        f"{saved.faults_an_hour:.0f} an hour, seed {saved.seed}; {saved.file}"
    )
    for each in saved.failed:
        _show_failure(str(each.failure), each.replay)
    if not bounds.are_reached(saved):
        console.print(f"interrupted: the same command with --state {saved.file} continues", highlight=False)
        return False
    return not saved.failed


def _run_once(asked: Options, began: float) -> bool:
    results: list[Result] = []
    failure = _play(_chapters(asked, began), asked, results)
    seconds = time.monotonic() - began
    summary.write(asked.results_file, seed=asked.seed, seconds=seconds, results=results, failure=failure)
    _show(asked, results)
    console.print(f"{len(results)} faults in {seconds:.0f} s, seed {asked.seed}; {asked.results_file}")
    if failure:
        _show_failure(failure, f"python -m tests.faults {asked.again()}")
    return not failure


def _show(asked: Options, results: list[Result]) -> None:
    console.print(summary.table(results))
    if asked.relax:
        console.print(f"longest recoveries times {asked.patience:g}: {asked.relax[1]}", markup=False, highlight=False)


def _show_failure(failure: str, replay: str) -> None:
    console.print(f"FAILED: {failure}", style="red", markup=False, highlight=False)
    console.print(f"replay it: {replay}", markup=False, highlight=False)


def _chapters(asked: Options, began: float) -> Iterable[Chapter]:
    if asked.round is not None:
        return schedule.in_round(asked.round, asked.seed)
    if asked.only:
        return schedule.only(asked.only, asked.seed, asked.store, asked.times)
    if asked.short:
        return schedule.short(asked.seed, asked.store)
    return _until_the_time_is_up(asked, began)


def _until_the_time_is_up(asked: Options, began: float) -> Iterable[Chapter]:
    """Every kind whatever it takes, then more of them while there is time."""
    wanted = {fault.name for fault in schedule.every_fault(asked.store)}
    for each in schedule.full(asked.seed, asked.store):
        if not wanted and time.monotonic() - began > asked.minutes * 60 - A_CHAPTER_S:
            return
        wanted -= {fault.name for fault in each.faults}
        yield each


def _play(chapters: Iterable[Chapter], asked: Options, results: list[Result]) -> str | None:
    began = time.monotonic()
    store = asked.store if asked.round is None else schedule.store_of_round(asked.round)
    first = asked.seed + 1_000 * (asked.round or 0)
    with fork_server(), running_cluster(on_postgres=store == POSTGRES) as cluster:
        for seed, each in enumerate(chapters, start=first):
            _tell(began, f"{each.name}: {len(each.faults)} faults")
            played = chapter.run(each, cluster, seed, RESULTS, lambda text: _tell(began, text), asked.patience)
            try:
                _collect(played, results, began)
            except ChapterFailed as failed:
                return str(failed)
    return None


def _collect(played: Iterable[Result], results: list[Result], began: float) -> None:
    for result in played:
        results.append(result)
        _tell(began, f"  {result.fault}: {result.outcome}, well again after {result.recovery_s:.1f} s")


def _tell(began: float, text: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    console.print(f"{minutes:02}:{seconds:02} {text}", markup=False, highlight=False)


if __name__ == "__main__":
    main()
