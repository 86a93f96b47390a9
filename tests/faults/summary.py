"""The result of a run: a table for people, JSON for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from tests.faults.fault import Result


def table(results: Sequence[Result]) -> Table:
    """One row a kind of fault and store: times fired, outcome, worst recovery, and the load of the machine then."""
    shown = Table("fault", "store", "fired", "outcome", "worst recovery", "load")
    for column in (2, 4, 5):
        shown.columns[column].justify = "right"
    for name, store in sorted({(result.fault, result.store) for result in results}):
        those = [result for result in results if (result.fault, result.store) == (name, store)]
        worst = slowest(those)
        shown.add_row(name, store, str(len(those)), worst.outcome, f"{worst.recovery_s:.1f} s", f"{worst.load:.1f}")
    if results:
        worst = slowest(results)
        shown.add_section()
        kinds = len({result.fault for result in results})
        shown.add_row(f"{kinds} kinds", "", str(len(results)), "", f"{worst.recovery_s:.1f} s", f"{worst.load:.1f}")
    return shown


def slowest(results: Sequence[Result]) -> Result:
    """Return the result with the longest recovery."""
    return max(results, key=lambda result: result.recovery_s)


def write(file: Path, *, seed: int, seconds: float, results: Sequence[Result], failure: str | None) -> None:
    """Write the whole run as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"seed": seed, "seconds": round(seconds), "failure": failure, "faults": [asdict(r) for r in results]}
    file.write_text(json.dumps(content, indent=1))
