"""The verdict on a worker: the most severe condition first, with its reason and what to do."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.support.builders import CANCELLATIONS, SIGNUPS
from worker.monitoring.checks import Check
from worker.monitoring.gauges import Reading, StoreReading
from worker.monitoring.history import Trend
from worker.monitoring.verdict import Condition, Verdict, verdict
from worker.stores.reading import AtStake, Waiting

CHECKS = [
    *("consumer", "aiokafka", "poll", "batch", "partitions", "kafka", "inputs", "group", "store", "receipt", "outbox"),
]
PLACE = (SIGNUPS, 0)
STORE = StoreReading({}, Waiting(0, None, 0, None), AtStake(0, Decimal(0)), None)
TITLES = {
    "consumer": (Condition.FAILING, "A part of the worker has stopped"),
    "aiokafka": (Condition.FAILING, "A part of the worker has stopped"),
    "poll": (Condition.FAILING, "A part of the worker has stopped"),
    "batch": (Condition.FAILING, "A part of the worker has stopped"),
    "partitions": (Condition.STARTING, "Joining the consumer group"),
    "kafka": (Condition.FAILING, "Kafka does not answer"),
    "inputs": (Condition.FAILING, "Input topics cannot be read"),
    "group": (Condition.FAILING, "The consumer group cannot be used"),
    "store": (Condition.FAILING, "The store fails"),
    "receipt": (Condition.STARTING, "Reading the output topics back"),
    "outbox": (Condition.FAILING, "Events are not published"),
}


def reading(*failed: str, lag: int = 0, behind: float = 0.0) -> Reading:
    checks = [Check(name, name not in failed, "fine", f"the cause of {name}") for name in CHECKS]
    return Reading(checks, {}, {PLACE: lag, (CANCELLATIONS, 0): 0}, STORE, {PLACE: behind}, {}, STORE)


def test_worker_without_lag_is_caught_up() -> None:
    found = verdict(reading(), Trend(100.0, 0.0))
    assert (found.condition, found.title, found.advice) == (Condition.HEALTHY, "Caught up", "")


@pytest.mark.parametrize("check", CHECKS)
def test_each_failed_check_has_a_title_its_cause_and_advice(check: str) -> None:
    found = verdict(reading(check), None)
    assert (found.condition, found.title) == TITLES[check]
    assert f"he cause of {check}" in found.reason
    assert found.advice


def test_failure_of_the_store_precedes_its_consequences() -> None:
    assert verdict(reading("outbox", "receipt", "store", lag=100_000), None).title == "The store fails"


def test_silent_kafka_is_named_before_its_check_fails() -> None:
    found = verdict(replace(reading("outbox", lag=50), inputs_age_seconds=12.0), None)
    assert (found.title, found.reason) == ("Kafka does not answer", "No answer for 12 s.")


def test_records_that_are_being_published_are_named() -> None:
    store = StoreReading({}, Waiting(0, None, 3, datetime.now(UTC)), AtStake(0, Decimal(0)), None)
    found = verdict(replace(reading(), known=store), None)
    assert found.condition is Condition.HEALTHY
    assert found.reason.endswith("is decided; 3 records are being published.")


def backlog(lag: int, trend: Trend | None, behind: float = 0.0) -> Verdict:
    return verdict(reading(lag=lag, behind=behind), trend)


def test_backlog_has_rates_and_the_time_to_catch_up() -> None:
    found = backlog(92_115, Trend(4_000.0, -3_000.0))
    assert (found.condition, found.title) == (Condition.BEHIND, "Backlog of 92,115 records")
    assert found.reason == "Reading 4,000/s, 1,000/s arrive: caught up in about 30 s."
    assert not found.advice


@pytest.mark.parametrize("growth", [250.0, 0.0, -0.5])
def test_backlog_that_does_not_shrink_has_no_estimate(growth: float) -> None:
    found = backlog(50_000, Trend(4_000.0, growth))
    assert "does not shrink" in found.reason
    assert "about" not in found.reason
    assert found.advice


def test_backlog_without_a_trend_has_no_rate() -> None:
    found = backlog(50_000, None)
    assert found.condition is Condition.BEHIND
    assert "/s" not in found.reason


@pytest.mark.parametrize(
    ("lag", "trend", "behind", "condition"),
    [
        (20_000, Trend(100_000.0, 0.0), 0.5, Condition.HEALTHY),  # read within a moment
        (1_000, None, 1.0, Condition.HEALTHY),
        (1, Trend(0.0, 0.0), 11.0, Condition.BEHIND),  # one record, which is not read
        (0, Trend(0.0, 0.0), 11.0, Condition.HEALTHY),
    ],
)
def test_lag_is_a_backlog_if_it_lasts(lag: int, trend: Trend | None, behind: float, condition: Condition) -> None:
    assert backlog(lag, trend, behind).condition is condition


def test_store_that_cannot_be_read_is_named() -> None:
    found = verdict(replace(reading(), store=None, failure="the store has not answered for 3 s"), None)
    assert (found.condition, found.title) == (Condition.ATTENTION, "The store cannot be read")
    assert found.reason == "The store has not answered for 3 s."


def test_dead_letters_need_attention_with_their_arr() -> None:
    store = STORE.__class__({}, STORE.waiting, AtStake(190, Decimal(4_833_000), datetime.now(UTC)), None)
    found = verdict(replace(reading(), known=store), None)
    assert found.condition is Condition.ATTENTION
    assert found.reason == "190 dead letters wait for a decision, with $4,833,000.00 of ARR at stake."
