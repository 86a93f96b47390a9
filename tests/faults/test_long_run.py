"""A long run continues after an interruption, and after rounds that fail; its rounds are simulated processes."""

import json
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from tests.faults import long_run, saved_run, schedule
from tests.faults.fault import STORES, Fault
from tests.faults.groups import SLOW
from tests.faults.long_run import Bounds, LongRun
from tests.faults.saved_run import SavedRun

SEED = 7
ROUND = """
import json, sys
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
number = int(arguments["--round"])
if number == 1:
    sys.exit("no broker")
fault = {"fault": f"kind {number}", "store": "duckdb", "chapter": "", "outcome": "", "recovery_s": 1.0, "load": 0.0}
content = {"faults": [fault] * 10, "failure": "lost" if number == 2 else None}
open(arguments["--results"], "w").write(json.dumps(content))
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(long_run, "MODULE", [sys.executable, "-c", ROUND])
    monkeypatch.setattr(long_run, "LOOK_EVERY_S", 0.02)
    return tmp_path / "run.json"


def run(file: Path, faults: int, seed: int = SEED) -> tuple[SavedRun, list[str]]:
    said: list[str] = []
    LongRun(saved_run.load(file, seed), Bounds(None, faults), [], said.append).run(side_by_side=2)
    return saved_run.load(file, seed), said


def test_failed_round_does_not_end_the_run(file: Path) -> None:
    saved, said = run(file, faults=30)
    assert len(saved.results) >= 30
    assert [each.failure for each in saved.failed] == ["the round ended with 1", "lost"]
    assert [each.replay for each in saved.failed] == [f"python -m tests.faults --seed 7 --round {n}" for n in (1, 2)]
    assert sum("FAILED: lost" in line for line in said) == 1
    assert [saved.rounds[number].store for number in range(4)] == [*STORES, *STORES]


def test_run_continues_from_its_file_with_its_seed(file: Path) -> None:
    before, _ = run(file, faults=20)
    content = json.loads(file.read_text())
    del content["rounds"]["0"]  # as if the run had been interrupted before this round ended
    file.write_text(json.dumps(content))
    after, said = run(file, faults=40, seed=99)
    assert after.seed == SEED
    assert after.rounds[2] == before.rounds[2]
    assert sorted(after.rounds) == list(range(max(after.rounds) + 1))
    assert said[0].startswith("round 0 (duckdb)")
    assert after.seconds > before.seconds > 0


def test_complete_run_starts_nothing(file: Path) -> None:
    run(file, faults=10)
    assert run(file, faults=10)[1] == []


def test_hours_bound_a_run(tmp_path: Path) -> None:
    saved = SavedRun(tmp_path / "run.json", SEED, seconds=3600)
    assert Bounds(1, None).are_reached(saved)
    assert not Bounds(1.1, None).are_reached(saved)


def dealt(rounds: int, store: str) -> list[Fault]:
    numbers = [number for number in range(rounds) if schedule.store_of_round(number) == store]
    return [fault for number in numbers for each in schedule.in_round(number, SEED) for fault in each.faults]


@pytest.mark.parametrize("store", STORES)
def test_rounds_deal_every_kind_as_often(store: str) -> None:
    kinds = [fault.name for fault in schedule.every_fault(store)]
    enough = 2 * 2 * (len(kinds) // schedule.A_ROUND + 1)
    names = Counter(fault.name for fault in dealt(enough, store))
    assert set(names) == set(kinds)
    assert all(2 <= names[kind] <= 3 for kind in kinds if kind not in SLOW)
    assert all(names[kind] == 1 for kind in SLOW if kind in kinds)


def test_round_is_repeatable_by_its_number_and_seed() -> None:
    first, again, other = (
        [fault.name for fault in chain.from_iterable(each.faults for each in schedule.in_round(5, seed))]
        for seed in (SEED, SEED, SEED + 1)
    )
    assert first == again != other
