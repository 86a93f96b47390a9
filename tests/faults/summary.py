"""The result of a run: a table for people, JSON for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from tests.faults.fault import Result


def table(results: Sequence[Result]) -> Table:
    """One row a kind of fault: times fired, outcome, worst recovery."""
    shown = Table("fault", "fired", "outcome", "worst recovery")
    shown.columns[1].justify = shown.columns[3].justify = "right"
    for name in sorted({result.fault for result in results}):
        those = [result for result in results if result.fault == name]
        worst = max(those, key=lambda result: result.recovery_s)
        shown.add_row(name, str(len(those)), worst.outcome, f"{worst.recovery_s:.1f} s")
    shown.add_section()
    slowest = max((result.recovery_s for result in results), default=0.0)
    shown.add_row(f"{len({result.fault for result in results})} kinds", str(len(results)), "", f"{slowest:.1f} s")
    return shown


def write(file: Path, *, seed: int, seconds: float, results: Sequence[Result], failure: str | None) -> None:
    """Write the whole run as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"seed": seed, "seconds": round(seconds), "failure": failure, "faults": [asdict(r) for r in results]}
    file.write_text(json.dumps(content, indent=1))
