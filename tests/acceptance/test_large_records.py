"""Records that fit Kafka only just, or only compressed, reach the dead letters whole and hold up nobody."""

import pytest

from tests.support.records import Message
from tests.support.spelling import padded, signup
from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(120)
BROKER_LIMIT = 1_048_588
IDS = [f"6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a{number:02x}" for number in range(4)]


def test_largest_record_of_the_broker_becomes_a_dead_letter(stage: Stage) -> None:
    stage.create_topics(partitions=1)
    largest = padded(signup(IDS[0]), BROKER_LIMIT - 200)
    headers = (("x", b"\xff"), ("y", None))
    stage.produce(
        [_good(1), Message("signup", b"large", largest), Message("signup", b"more", largest[:-50], headers), _good(2)]
    )
    stage.run_to_the_end_of_the_topics()
    wanted = stage.require_as_expected()
    assert [reason for outcome, reason in wanted.outcomes.values() if outcome == "rejected"] == [
        "too_large",
        "too_large",
    ]


def test_record_that_fits_compressed_becomes_a_dead_letter(stage: Stage) -> None:
    stage.create_topics(partitions=1)
    bomb = Message("signup", b"bomb", padded(signup(IDS[0]), 8_000_000))
    stage.produce([_good(1), bomb, _good(2), bomb, _good(3)], codec="gzip")
    stage.run_to_the_end_of_the_topics()
    wanted = stage.require_as_expected()
    assert len(wanted.dead_letters) == 2


def _good(number: int) -> Message:
    return Message("signup", IDS[number].encode(), signup(IDS[number]))
