"""Coordinates and timestamps of records."""

from datetime import UTC, datetime

import pytest

from tests.support.builders import record
from worker.messages.record import coordinates, rfc3339


def test_coordinates_are_topic_partition_and_offset() -> None:
    assert coordinates(record(None, "customer.signup", 42, partition=3)) == "customer.signup/3/42"


@pytest.mark.parametrize(("timestamp", "text"), [
    (0, "1970-01-01T00:00:00.000Z"),
    (1, "1970-01-01T00:00:00.001Z"),
    (-1, "1969-12-31T23:59:59.999Z"),
    (1_782_820_800_000, "2026-06-30T12:00:00.000Z"),
    (1_782_820_800_999, "2026-06-30T12:00:00.999Z"),
    (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
    (2**63 - 1, "9999-12-31T23:59:59.999Z"),
    (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
    (-62_135_596_800_001, "0001-01-01T00:00:00.000Z"),
    (-(2**63), "0001-01-01T00:00:00.000Z"),
])  # fmt: skip
def test_any_timestamp_that_kafka_can_hold_is_a_time_in_utc(timestamp: int, text: str) -> None:
    assert rfc3339(timestamp) == text
    assert datetime.fromisoformat(text).tzinfo == UTC
