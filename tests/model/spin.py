"""Spin: generate a verifier of the model, compile it, run it, and read its report."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.model.parts import PROGRESS, Bound, Check

MODEL = Path(__file__).parent
DEPTH = 1_000
MEMORY_MB = 6_000
LIMIT_S = 900
_COMPLETE = "Full statespace search"
_INCOMPLETE = ("max search depth too small", "Search not completed", "out of memory", "memory limit")
_FLAGS = {PROGRESS: ["-DNP"]}


class ModelFailed(Exception):
    """A failure of Spin or of the compiler; the message has its output."""


@dataclass(frozen=True)
class Report:
    """Result of a check: states and depth of the search, and what it found.

    `violated` is the property that does not hold, None if all do. `steps` are those of the counterexample in the words
    of the model. `unreached` are statements that no run reaches. `is_complete` is False if the search was cut short.
    """

    states: int
    depth: int
    seconds: float
    is_complete: bool
    violated: str | None
    steps: tuple[str, ...]
    unreached: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Whether every state was visited, every step taken, and all properties hold."""
        return self.is_complete and self.violated is None and not self.unreached


def missing() -> list[str]:
    """Return the programs that are needed and not installed."""
    return [name for name in ("spin", "gcc") if shutil.which(name) is None]


def run(check: Check, *, depth: int = DEPTH, is_shortest: bool = False) -> Report:
    """Run a check. With `is_shortest`, states are visited again where a shorter way leads to them."""
    with _verifier(check, is_shortest=is_shortest) as directory:
        return _search(check, directory, depth)


def shortest(check: Check, step: int = 2) -> Report:
    """Return the report with a shortest counterexample, to within `step` steps; the last one if there is none."""
    with _verifier(check, is_shortest=True) as directory:
        for depth in range(step, DEPTH, step):
            report = _search(check, directory, depth)
            if report.violated is not None or report.is_complete:
                return report
    return report


@contextmanager
def _verifier(check: Check, *, is_shortest: bool) -> Iterator[Path]:
    """Yield a directory with the compiled verifier `pan`."""
    with tempfile.TemporaryDirectory(prefix="model-") as name:
        directory = Path(name)
        for source in MODEL.glob("*.pml"):
            shutil.copy(source, directory)
        _call(["spin", "-a", *check.bound.definitions, "protocol.pml"], directory)
        kind = _FLAGS.get(check.kind, ["-DSAFETY", *(["-DREACH"] if is_shortest else [])])
        level = "-O2" if check.bound.faults > 1 else "-O1"  # a small search is shorter than the compilation
        _call(["gcc", level, "-w", "-o", "pan", "pan.c", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB}", *kind], directory)
        yield directory


def _search(check: Check, directory: Path, depth: int) -> Report:
    began = time.monotonic()
    (directory / "protocol.pml.trail").unlink(missing_ok=True)
    output = _call(["./pan", f"-m{depth}", *(["-l"] if check.kind == PROGRESS else [])], directory, is_search=True)
    seconds = time.monotonic() - began
    states = _number(r"(\d+) states, stored", output)
    is_complete = _COMPLETE in output and not any(words in output for words in _INCOMPLETE)
    violated = _violated(output)
    steps = _steps(check.bound, directory) if violated else ()
    return Report(
        states, _number(r"depth reached (\d+)", output), seconds, is_complete, violated, steps, _unreached(output)
    )


def _call(command: list[str], directory: Path, *, is_search: bool = False) -> str:
    """Run a program; returns its output. A search ends with 0 whatever it found."""
    # gcc and Spin print by the locale.
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    output = done.stdout + done.stderr
    if done.returncode != 0 and not is_search:
        raise ModelFailed(f"{' '.join(command)} failed:\n{output[-2_000:]}")
    return output


def _number(pattern: str, output: str) -> int:
    found = re.search(pattern, output)
    if found is None:
        raise ModelFailed(f"the report is not understood:\n{output[-2_000:]}")
    return int(found[1])


def _violated(output: str) -> str | None:
    if found := re.search(r"^pan:1: (.*?)(?: \(at depth \d+\))?$", output, re.MULTILINE):
        named = re.fullmatch(r"assertion violated +!\(?(\w+)\)?", found[1])
        return named[1] if named else found[1]
    return None


def _unreached(output: str) -> tuple[str, ...]:
    """Return the statements that no run reaches; a process that never ends has no end."""
    return tuple(
        line.strip()
        for line in re.findall(r"^\t(\S+:\d+, state \d+, .*)$", output, re.MULTILINE)
        if '"-end-"' not in line
    )


def _steps(bound: Bound, directory: Path) -> tuple[str, ...]:
    """Replay the counterexample; returns what its steps print."""
    output = _call(["spin", "-t", *bound.definitions, "protocol.pml"], directory, is_search=True)
    lines = [line.strip() for line in output.splitlines()]
    end = next((number for number, line in enumerate(lines) if line.startswith(("spin: ", "#processes"))), len(lines))
    return tuple(line for line in lines[:end] if line and not re.match(r"(<<<<<|starting claim|Never claim)", line))
