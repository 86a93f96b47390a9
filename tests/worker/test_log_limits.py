"""Repeated lines are counted, the first of each kind is written."""

import logging
from itertools import pairwise
from typing import Any

import pytest

from worker.logs.kafka_connection import LOST_AFTER_SECONDS, KafkaConnection
from worker.logs.limits import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, QUIET_SECONDS, TEXTS_OF_A_TEMPLATE, LogLimits


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def line(message: Any, *arguments: Any, logger: str = "aiokafka", level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(logger, level, __file__, 1, message, arguments, None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> LogLimits:
    return LogLimits(clock)


def refused(node: int = 1, why: str = "Connection refused") -> logging.LogRecord:
    return line("Unable connect to node with id %s: %s", node, why)


def test_first_line_of_each_kind_is_written(limits: LogLimits) -> None:
    assert limits.filter(refused())
    assert limits.filter(refused(why="certificate has expired"))
    assert limits.filter(line("Unable to update metadata from %s", [1]))
    assert limits.filter(line("Unable to update metadata from %s", [1], level=logging.WARNING))


def test_repetition_is_suppressed_also_of_another_node(limits: LogLimits) -> None:
    assert limits.filter(refused(1))
    assert not limits.filter(refused(1))
    assert not limits.filter(refused(2))


def test_next_line_has_the_count_of_those_suppressed(limits: LogLimits, clock: Clock) -> None:
    limits.filter(refused())
    for _ in range(3):
        limits.filter(refused())
    clock.now = FIRST_PAUSE_SECONDS
    assert limits.filter(last := refused())
    assert last.__dict__["suppressed"] == 3


def test_pause_between_lines_grows_to_a_limit(limits: LogLimits, clock: Clock) -> None:
    written = []
    while clock.now < 5 * LONGEST_PAUSE_SECONDS:
        if limits.filter(refused()):
            written.append(clock.now)
        clock.now += 1
    pauses = [after - before for before, after in pairwise(written)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)


def test_line_is_written_again_after_a_gap(limits: LogLimits, clock: Clock) -> None:
    for now in (0.0, 10.0, 30.0):
        clock.now = now
        assert limits.filter(refused())
    clock.now += 1
    assert not limits.filter(refused())
    clock.now += QUIET_SECONDS
    assert limits.filter(refused())


def test_texts_that_always_differ_do_not_flood(limits: LogLimits) -> None:
    letters = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(100)]
    assert sum(limits.filter(refused(why=f"cause {each}")) for each in letters) == TEXTS_OF_A_TEMPLATE + 1


def test_own_lines_repeat_only_with_an_error(limits: LogLimits) -> None:
    rejected = {"event": "record rejected", "offset": 1}
    failed = {"event": "publishing failed", "error": "no broker", "failures": 1}
    own = [
        limits.filter(line(each, logger="worker.consumer.subscriber")) for each in (rejected, rejected, failed, failed)
    ]
    assert own == [True, True, True, False]
    assert limits.filter(line(failed | {"error": "not authorized"}, logger="worker.consumer.subscriber"))


def test_information_is_not_limited(limits: LogLimits) -> None:
    assert all(limits.filter(line("batch applied", level=logging.INFO)) for _ in range(3))


def test_lost_and_restored_connection_is_one_line_each(
    limits: LogLimits, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def error(self, event: str, **fields: Any) -> None:
            written.append((event, fields))

        info = error

    monkeypatch.setattr("worker.logs.kafka_connection.log", Log())
    connection = KafkaConnection(limits, clock)
    for is_connected in (True, False, False, False, False, True, True):
        connection.note(is_connected=is_connected)
        limits.filter(refused())
        clock.now += LOST_AFTER_SECONDS / 2
    assert [event for event, _ in written] == ["Kafka connection lost", "Kafka connection restored"]
    assert written[1][1] == {"after_seconds": 2 * LOST_AFTER_SECONDS, "suppressed": 4}


def test_short_interruption_is_not_logged(limits: LogLimits, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    connection = KafkaConnection(limits, clock)
    connection.note(is_connected=False)
    clock.now += LOST_AFTER_SECONDS / 2
    connection.note(is_connected=True)
    assert not connection._is_lost
