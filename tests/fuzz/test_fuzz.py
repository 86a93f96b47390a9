"""Random records are read alike in all ways, and the fuzzer finds and shrinks planted faults."""

import re
from collections.abc import Callable
from random import SystemRandom
from typing import Any

import pytest

from tests.fuzz import decoding, shrinking
from tests.fuzz.decoding import fuzz, fuzz_chunks, kinds_of_messages
from tests.fuzz.fetches import CHUNK, fetches
from worker.messages import composer, fast_path, inbound, message_parsing
from worker.messages.rejection import Reason

CHUNKS = 8
SEED = SystemRandom().randrange(10**9)
OF_CUSTOMERS = {Reason.SIGNUP_CONFLICT, Reason.ALREADY_CHURNED, Reason.CHURN_BEFORE_SIGNUP, Reason.NO_SIGNUP}
"""Reasons of rejections that need a customer: decoding gives the others."""


def test_random_records_are_read_alike_in_all_ways() -> None:
    report = fuzz_chunks(SEED, range(CHUNKS))
    assert not report.differences, "\n".join(report.differences)


def test_records_reach_every_outcome() -> None:
    report = fuzz_chunks(7, range(CHUNKS))  # fixed: rare outcomes are not in every short run
    outcomes = {outcome.partition(" ")[2] for outcome in report.findings.outcomes}
    assert outcomes == {"accepted", *(reason.value for reason in Reason if reason not in OF_CUSTOMERS)}
    assert len(kinds_of_messages(report)) > 30
    assert report.findings.events > CHUNK


def test_same_seed_gives_the_same_bytes() -> None:
    first, again = ([fetch.data() for fetch in fetches(7, 3)] for _ in range(2))
    assert first == again
    assert first != [fetch.data() for fetch in fetches(8, 3)]


def _without_nulls(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda record, *rest: [pair for pair in function(record, *rest) if pair[1] is not None]


def _fails_on_leap_seconds(function: Callable[..., Any]) -> Callable[..., Any]:
    def fails(field: str, value: Any) -> Any:
        if ":60" in str(value):
            raise ZeroDivisionError
        return function(field, value)

    return fails


FAULTS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "ids are not checked where records are unpacked": (fast_path, "are_canonical_uuids", lambda _: lambda _: True),
    "amounts may be larger on the fast path": (fast_path, "_are_amounts", lambda _: lambda _: True),
    "null headers are lost": (composer, "dead_letter_headers", _without_nulls),
    "values may be nested deeper": (inbound, "require_shallow", lambda _: lambda _: None),
    "leap seconds raise an error": (message_parsing, "date_from", _fails_on_leap_seconds),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found_and_shrunk(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, broken = FAULTS[fault]
    monkeypatch.setattr(decoding, "MOST_DIFFERENCES", 1)
    monkeypatch.setattr(shrinking, "LIMIT_S", 3.0)
    monkeypatch.setattr(module, name, broken(getattr(module, name)))
    report = fuzz(5, 20 * CHUNK, jobs=1, progress=lambda _, __: None)
    assert report.differences
    text = report.differences[0]
    assert re.search(r"^record \d+ of seed 5: ", text)
    assert "smallest found: 1 record(s)" in text
    assert re.search(r"repeat: python -m tests\.fuzz --seed 5 --at \d+$", text)


def test_index_in_a_report_repeats_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MOST_DIFFERENCES", 1)
    monkeypatch.setattr(fast_path, "are_canonical_uuids", lambda _: True)
    report = fuzz(5, 20 * CHUNK, jobs=1, progress=lambda _, __: None)
    (index,) = set(re.findall(r"--at (\d+)$", report.differences[0]))
    assert f"record {index} of seed 5" in fuzz_chunks(5, [int(index) // CHUNK]).differences[0]
