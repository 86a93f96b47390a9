"""The schedule and the mutants of the fault suite, checked without a run."""

import subprocess
import sys
from itertools import islice

import pytest

from tests.faults import schedule
from tests.faults.chapter import Chapter
from tests.faults.fault import STORES
from tests.faults.mutants import MUTANTS, TREE, Mutant


def names(chapters: list[Chapter]) -> list[list[str]]:
    return [[fault.name for fault in chapter.faults] for chapter in chapters]


@pytest.mark.parametrize("store", STORES)
def test_seed_decides_the_run(store: str) -> None:
    assert names(list(islice(schedule.full(1, store), 12))) == names(list(islice(schedule.full(1, store), 12)))
    assert names(list(schedule.short(1, store))) == names(list(schedule.short(1, store)))
    assert names(list(schedule.short(1, store))) != names(list(schedule.short(2, store)))


@pytest.mark.parametrize("store", STORES)
def test_short_run_has_its_fixed_faults(store: str) -> None:
    drawn = [name for chapter in names(list(schedule.short(1, store))) for name in chapter]
    assert set(schedule.SHORT[store][1]) <= set(drawn)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("seed", range(5))
def test_full_run_has_every_fault_before_any_repeats(seed: int, store: str) -> None:
    kinds = [fault.name for fault in schedule.every_fault(store)]
    drawn = [name for chapter in names(list(islice(schedule.full(seed, store), len(kinds)))) for name in chapter]
    assert len(set(kinds)) == len(kinds)
    assert sorted(drawn[: len(kinds)]) == sorted(kinds)


def undefined_names(source: str) -> str:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_applies_to_the_worker(mutant: Mutant) -> None:
    for file, old, new in mutant.edits:
        text = (TREE / file).read_text()
        assert text.count(old) == 1
        assert undefined_names(text.replace(old, new)) == "All checks passed!\n"
    for name in mutant.faults:
        assert name in [fault.name for fault in schedule.every_fault(mutant.store)]
