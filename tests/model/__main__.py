"""`python -m tests.model`: check the model of the exactly-once protocol, and that broken protocols are found."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from tests.model import spin
from tests.model.parts import FULL, MUTATIONS, SMALL, Check, Mutation
from tests.model.spin import Report

T = TypeVar("T")
console = Console(width=140)


def main() -> None:
    """Run what was asked for; exit 1 if a property does not hold, a search is incomplete, or a mutation is missed."""
    asked = _arguments()
    if missing := spin.missing():
        raise SystemExit(f"not installed: {', '.join(missing)}. Install them: apt-get install spin gcc")
    if asked.mutation:
        _show(next(each for each in MUTATIONS if each.name == asked.mutation))
        return
    began = time.monotonic()
    checks = _checks(SMALL if asked.small else FULL)
    mutations = _mutations(is_shortest=not asked.small)
    console.print(f"{time.monotonic() - began:.0f} s")
    raise SystemExit(0 if checks and mutations else 1)


def _checks(checks: Iterable[Check]) -> bool:
    table = Table("part and bound", "check", "states", "depth", "seconds", "result", title="Checks")
    is_passed = True
    for check, report in _in_parallel(spin.run, checks):
        is_passed &= report.is_passed
        shown = f"{report.seconds:.1f}"
        table.add_row(str(check.bound), check.kind, f"{report.states:,}", f"{report.depth}", shown, _result(report))
        for line in (*report.steps, *report.unreached) if not report.is_passed else ():
            console.print(f"  {line}", markup=False, highlight=False)
    console.print(table)
    return is_passed


def _result(report: Report) -> str:
    if report.violated:
        return f"VIOLATED: {report.violated}, {len(report.steps)} steps"
    if not report.is_complete:
        return "INCOMPLETE"
    return "UNREACHED STEPS" if report.unreached else "complete, holds"


def _mutations(*, is_shortest: bool) -> bool:
    table = Table("mutation", "violated property", "steps", "states", "result", title="Mutations")
    is_found = True

    def search(mutation: Mutation) -> Report:
        check = Check(mutation.bound)
        return spin.shortest(check) if is_shortest else spin.run(check)

    for mutation, report in _in_parallel(search, MUTATIONS):
        is_found &= report.violated in mutation.found
        result = "found" if report.violated in mutation.found else "NOT FOUND"
        steps = f"{len(report.steps)}"
        table.add_row(mutation.name, report.violated or "none", steps, f"{report.states:,}", result)
    console.print(table)
    return is_found


def _show(mutation: Mutation) -> None:
    report = spin.shortest(Check(mutation.bound))
    for number, line in enumerate(report.steps, 1):
        console.print(f"{number:3} {line}", markup=False, highlight=False)
    console.print(f"violated: {report.violated}", markup=False, highlight=False)


def _in_parallel(function: Callable[[T], Report], arguments: Iterable[T]) -> Iterator[tuple[T, Report]]:
    """Yield the arguments with their results, in order; as many run at a time as there are processors, at most two."""
    every = list(arguments)
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as executor:
        yield from zip(every, executor.map(function, every), strict=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a smaller bound, seconds instead of minutes")
    parser.add_argument(
        "--mutation",
        choices=[mutation.name for mutation in MUTATIONS],
        metavar="NAME",
        help="print the counterexample of this mutation, step by step",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
