"""The model of the protocol holds within a small bound; its names in the documents are those of the code."""

from __future__ import annotations

import importlib
import re
from functools import reduce

import pytest

from tests.documents.documents import DESIGN, spans, table
from tests.model import spin
from tests.model.parts import CONSUMERS, DUCKDB, MUTATIONS, PROGRESS, SAFETY, Bound, Check
from worker.failpoints import POINTS


@pytest.fixture(autouse=True)
def _installed() -> None:
    assert spin.missing() == [], "install them: apt-get install spin gcc"


@pytest.mark.parametrize("kind", [SAFETY, PROGRESS])
@pytest.mark.parametrize("bound", [Bound(DUCKDB, faults=1, restores=0), Bound(CONSUMERS, faults=1)], ids=str)
def test_protocol_holds_within_a_small_bound(bound: Bound, kind: str) -> None:
    report = spin.run(Check(bound, kind))
    assert (report.violated, report.unreached) == (None, ())
    assert report.is_complete


def test_search_that_is_cut_short_is_not_complete() -> None:
    assert not spin.run(Check(Bound(DUCKDB, faults=0)), depth=20).is_complete


def test_mutation_is_found_with_the_steps_that_lead_to_it() -> None:
    mutation = next(each for each in MUTATIONS if each.name == "receipts not read")
    report = spin.run(Check(mutation.bound))
    assert report.violated == "event_published_twice"
    assert any(step.endswith("predecessor-fenced") for step in report.steps)


def _rows() -> list[list[str]]:
    return table(DESIGN, "Model")


def _exists(name: str) -> bool:
    """Return whether `outbox.relay.Relay.run` is a function of `worker`, or a module."""
    parts = ["worker", *name.split(".")]
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        try:
            return reduce(getattr, parts[length:], module) is not None
        except AttributeError:
            return False
    return False


def test_functions_of_the_table_exist() -> None:
    names = [name for row in _rows() for name in spans(row[1])]
    assert names
    assert [name for name in names if not _exists(name)] == []


def test_every_failpoint_is_in_the_table_once() -> None:
    named = [name for row in _rows() for name in spans(row[2])]
    assert sorted(named) == sorted(POINTS)


def test_every_state_of_the_model_is_in_the_table() -> None:
    source = (spin.MODEL / "state.pml").read_text()
    [defined] = re.findall(r"/\* Of a consumer.*?(?=/\* Requests)", source, re.DOTALL)
    states = re.findall(r"^#define ([A-Z]+) \d+", defined, re.MULTILINE)
    named = [name for row in _rows() for name in spans(row[0])]
    assert sorted(named) == sorted(states)


def test_mutations_of_the_model_are_used() -> None:
    used = {name for mutation in MUTATIONS for name in mutation.bound.mutation}
    source = "".join(path.read_text() for path in spin.MODEL.glob("*.pml"))
    conditions = set(re.findall(r"#(?:el)?ifn?(?:def)? (?:defined\()?([A-Z_]+)", source))
    assert used <= conditions
