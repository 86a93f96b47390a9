"""Verdict on a worker in one line: its condition, the reason, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from domain.customer import dollars
from worker.monitoring.checks import Check
from worker.monitoring.gauges import Reading
from worker.monitoring.history import Trend
from worker.text.ages import shown_age

BACKLOG_RECORDS = 1_000
"""Lag that is no backlog, however slow the worker is."""
BACKLOG_SECONDS = 5.0
"""Lag that is no backlog, as the worker reads it within this time."""
BEHIND_SECONDS = 10.0
"""Age of the oldest unread record from which any lag is a backlog."""
SLOWEST_CATCH_UP = 1.0
"""Decrease of the lag in records per second below which no time to catch up is estimated."""


class Condition(StrEnum):
    """Condition of a worker, from the best to the worst."""

    HEALTHY = "healthy"
    ATTENTION = "attention"
    STARTING = "starting"
    BEHIND = "behind"
    FAILING = "failing"


class Verdict(NamedTuple):
    """The condition in words: `title`, then `reason`, then `advice`, which is empty if nothing is to be done."""

    condition: Condition
    title: str
    reason: str
    advice: str = ""


class _Failure(NamedTuple):
    title: str
    advice: str


_INTERNAL = _Failure("A part of the worker has stopped", "Restart the worker. If it recurs, report the log.")
_FAILURES: Mapping[str, _Failure] = {
    "consumer": _INTERNAL,
    "aiokafka": _INTERNAL,
    "poll": _INTERNAL,
    "batch": _INTERNAL,
    "store": _Failure(
        "The store fails",
        "Remove the cause: the batch is retried for one minute, then the worker stops with exit code 70. Nothing "
        "that was committed is lost.",
    ),
    "kafka": _Failure(
        "Kafka does not answer",
        "Check that the brokers run and can be reached: customer-worker check. The worker resumes by itself.",
    ),
    "inputs": _Failure(
        "Input topics cannot be read",
        "Restore the topic or the right on it: customer-worker check names it. The worker resumes by itself.",
    ),
    "group": _Failure(
        "The consumer group cannot be used",
        "Restore the right, or stop the foreign member. The worker resumes by itself.",
    ),
    "outbox": _Failure(
        "Events are not published",
        "Remove the cause: customer-worker check. Decisions are kept in the store and published later.",
    ),
}
"""Failures by the check that finds them, the cause before its consequences."""
_STARTING = {
    "partitions": ("Joining the consumer group", "If it lasts: customer-worker check names what is missing."),
    "receipt": ("Reading the output topics back", "Events are published once it is known which were published before."),
}
"""Titles and advice while a check has not passed yet."""


def verdict(reading: Reading, trend: Trend | None) -> Verdict:
    """Judge the state of a worker."""
    failed = {check.name: check for check in reading.checks if not check.is_well}
    return (
        _internal_failure(failed)
        or _starting(failed, "partitions")
        or _failure(failed, reading)
        or _starting(failed, "receipt")
        or _unreadable_store(reading)
        or _backlog(reading, trend)
        or _waiting_letters(reading)
        or Verdict(Condition.HEALTHY, "Caught up", _published(reading))
    )


def _internal_failure(failed: Mapping[str, Check]) -> Verdict | None:
    found = next((check for name, check in failed.items() if _FAILURES.get(name) is _INTERNAL), None)
    if found is None:
        return None
    return Verdict(Condition.FAILING, _INTERNAL.title, f"{found.name}: {found.advice}.", _INTERNAL.advice)


def _starting(failed: Mapping[str, Check], name: str) -> Verdict | None:
    if name not in failed:
        return None
    title, advice = _STARTING[name]
    return Verdict(Condition.STARTING, title, f"{_capital(failed[name].advice)}.", advice)


def _failure(failed: Mapping[str, Check], reading: Reading) -> Verdict | None:
    """Return the first failure. That Kafka is silent is seen on the input topics before its check fails."""
    if "kafka" not in failed and "store" not in failed and reading.is_outdated:
        silent = f"no answer for {reading.inputs_age_seconds:.0f} s"
        failed = {"kafka": Check("kafka", is_well=False, found="", advice=silent), **failed}
    for name, failure in _FAILURES.items():
        if name in failed:
            return Verdict(Condition.FAILING, failure.title, f"{_capital(failed[name].advice)}.", failure.advice)
    return None


def _unreadable_store(reading: Reading) -> Verdict | None:
    if reading.failure is None:
        return None
    advice = "The figures below are the last known ones. Check the database: customer-worker status."
    return Verdict(Condition.ATTENTION, "The store cannot be read", f"{_capital(reading.failure)}.", advice)


def _backlog(reading: Reading, trend: Trend | None) -> Verdict | None:
    lag = sum(reading.lag.values())
    behind = max((seconds for at, seconds in reading.behind_seconds.items() if reading.lag.get(at)), default=0.0)
    is_much = lag > BACKLOG_RECORDS and (trend is None or lag > BACKLOG_SECONDS * trend.read)
    if not lag or not (is_much or behind > BEHIND_SECONDS):
        return None
    title = f"Backlog of {lag:,} records"
    if trend is None:
        return Verdict(Condition.BEHIND, title, "The time to catch up is known within a minute of the start.")
    read, arriving = max(0.0, trend.read), max(0.0, trend.read + trend.growth)
    rates = f"Reading {_rate(read)}, {_rate(arriving)} arrive"
    if trend.growth > -SLOWEST_CATCH_UP:
        advice = "More records arrive than are read. With PostgreSQL, start another worker. Else see the batch time."
        return Verdict(Condition.BEHIND, title, f"{rates}: the backlog does not shrink.", advice)
    return Verdict(Condition.BEHIND, title, f"{rates}: caught up in about {_duration(lag / -trend.growth)}.")


def _waiting_letters(reading: Reading) -> Verdict | None:
    at_stake = reading.known and reading.known.at_stake
    if not at_stake or not at_stake.letters:
        return None
    letters = "1 dead letter waits" if at_stake.letters == 1 else f"{at_stake.letters:,} dead letters wait"
    reason = f"{letters} for a decision, with {dollars(at_stake.arr)} of ARR at stake."
    return Verdict(
        Condition.ATTENTION, "Caught up, dead letters wait", reason, "Examine them: customer-worker dead-letters list."
    )


def _published(reading: Reading) -> str:
    pending = reading.known.waiting.pending if reading.known else 0
    if not pending:
        return "Every record on the input topics is decided and published."
    records = "1 record is" if pending == 1 else f"{pending:,} records are"
    return f"Every record on the input topics is decided; {records} being published."


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}/s" if per_second >= 1 or not per_second else f"{per_second:.1f}/s"


def _duration(seconds: float) -> str:
    return shown_age(timedelta(seconds=max(1.0, seconds)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
