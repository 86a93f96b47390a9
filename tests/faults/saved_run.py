"""A long run as a file: its rounds that have ended, so that an interrupted run continues."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.fault import Result


@dataclass
class Round:
    """A round that has ended; `failure` is what did not hold, and `replay` the command that repeats the round."""

    store: str
    seconds: float
    failure: str | None
    replay: str
    log: str
    faults: list[Result]


@dataclass
class SavedRun:
    """A long run: its seed, the seconds that it has run, and its rounds by number."""

    file: Path
    seed: int
    seconds: float = 0.0
    rounds: dict[int, Round] = field(default_factory=dict)

    @property
    def results(self) -> list[Result]:
        """The faults of all rounds."""
        return [fault for _, each in sorted(self.rounds.items()) for fault in each.faults]

    @property
    def failed(self) -> list[Round]:
        """The rounds that failed."""
        return [each for _, each in sorted(self.rounds.items()) if each.failure is not None]

    @property
    def faults_an_hour(self) -> float:
        """The rate so far."""
        return len(self.results) / self.seconds * 3600 if self.seconds else 0.0

    def next_number(self, running: set[int]) -> int:
        """Return the first round that has not ended, and does not run."""
        number = 0
        while number in self.rounds or number in running:
            number += 1
        return number

    def save(self) -> None:
        """Write the file; an interruption leaves the one before or the new one."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "rounds": {number: asdict(each) for number, each in sorted(self.rounds.items())},
        }
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps(content, indent=1))
        beside.rename(self.file)


def load(file: Path, seed: int) -> SavedRun:
    """Return the run of this file, else a new one with this seed."""
    if not file.exists():
        return SavedRun(file, seed)
    content = json.loads(file.read_text())
    rounds = {int(number): _round(each) for number, each in content["rounds"].items()}
    return SavedRun(file, content["seed"], content["seconds"], rounds)


def _round(content: dict[str, Any]) -> Round:
    return Round(**content | {"faults": [Result(**each) for each in content["faults"]]})
