"""The start offset is the stored position; nothing is skipped unless a setting allows it."""

import dataclasses

import pytest

from worker.consumer.start_offset import Partition, starting_offset
from worker.errors import PositionRefused

USUAL = Partition("customer.signup/3", stored=50, committed=50, is_mirror=True, begin=0, end=100)


def start(*, skip: bool = False, lost: bool = False, **known: int | bool | str | None) -> int:
    partition = dataclasses.replace(USUAL, **known)  # type: ignore[arg-type]
    return starting_offset(partition, allow_skip_forward=skip, allow_lost_records=lost)


def test_known_partition_starts_at_the_stored_position() -> None:
    assert start() == 50
    assert start(committed=None, is_mirror=False) == 50


@pytest.mark.parametrize("committed", [None, 0, 50, 100])
@pytest.mark.parametrize("is_mirror", [True, False])
@pytest.mark.parametrize("begin", [0, 20])
def test_unknown_partition_starts_at_the_log_start(committed: int | None, is_mirror: bool, begin: int) -> None:
    assert start(stored=None, committed=committed, is_mirror=is_mirror, begin=begin) == begin


@pytest.mark.parametrize("committed", [0, 10, 99])
def test_mirrored_group_offset_is_ignored(committed: int) -> None:
    assert start(committed=committed, is_mirror=True) == 50


@pytest.mark.parametrize("committed", [0, 1, 49])
def test_rewound_group_offset_is_followed(committed: int) -> None:
    assert start(committed=committed, is_mirror=False) == committed


def test_group_offset_before_the_log_starts_at_the_log_start() -> None:
    assert start(committed=3, is_mirror=False, begin=20) == 20


def test_group_offset_after_the_position_is_refused() -> None:
    with pytest.raises(PositionRefused) as refused:
        start(committed=60, is_mirror=False)
    message = str(refused.value)
    assert "customer.signup/3" in message
    assert "10 records" in message
    assert "CUSTOMER_WORKER_SAFETY__ALLOW_SKIP_FORWARD=true" in message


def test_group_offset_after_the_position_is_followed_if_allowed() -> None:
    assert start(committed=60, is_mirror=False, skip=True) == 60
    with pytest.raises(PositionRefused):
        start(committed=60, is_mirror=False, lost=True)


def test_log_start_after_the_position_is_refused_with_the_gap() -> None:
    with pytest.raises(PositionRefused) as refused:
        start(begin=57)
    message = str(refused.value)
    assert "begins at offset 57" in message
    assert "7 records" in message
    assert "CUSTOMER_WORKER_SAFETY__ALLOW_LOST_RECORDS=true" in message


@pytest.mark.parametrize(("committed", "is_mirror"), [(50, True), (None, False), (10, False)])
def test_log_start_after_the_position_is_used_if_allowed(committed: int | None, is_mirror: bool) -> None:
    assert start(begin=57, committed=committed, is_mirror=is_mirror, lost=True) == 57
    with pytest.raises(PositionRefused):
        start(begin=57, committed=committed, is_mirror=is_mirror, skip=True)


def test_log_start_at_the_position_has_no_gap() -> None:
    assert start(begin=50) == 50


def test_log_end_before_the_position_is_refused() -> None:
    with pytest.raises(PositionRefused) as refused:
        start(end=49)
    message = str(refused.value)
    assert "ends at offset 49" in message
    assert "recreated" in message
    assert "CUSTOMER_WORKER_SAFETY__ALLOW_LOST_RECORDS=true" in message


@pytest.mark.parametrize("begin", [0, 5])
def test_log_end_before_the_position_restarts_if_allowed(begin: int) -> None:
    assert start(begin=begin, end=49, lost=True) == begin
    with pytest.raises(PositionRefused):
        start(begin=begin, end=49, skip=True)


ANOTHER = "the topic was deleted and created again"


def test_another_log_is_refused_with_the_difference() -> None:
    with pytest.raises(PositionRefused) as refused:
        start(difference=ANOTHER)
    message = str(refused.value)
    assert "customer.signup/3" in message
    assert ANOTHER in message
    assert "CUSTOMER_WORKER_SAFETY__ALLOW_LOST_RECORDS=true" in message


@pytest.mark.parametrize(("begin", "end"), [(0, 100), (5, 49), (60, 100)])
def test_another_log_is_read_from_its_start_when_allowed(begin: int, end: int) -> None:
    assert start(difference=ANOTHER, begin=begin, end=end, lost=True) == begin
    with pytest.raises(PositionRefused):
        start(difference=ANOTHER, begin=begin, end=end, skip=True)


def test_position_at_the_log_end_is_kept() -> None:
    assert start(end=50) == 50


def test_position_zero_is_a_position() -> None:
    assert start(stored=0, committed=None, is_mirror=False) == 0
    with pytest.raises(PositionRefused):
        start(stored=0, committed=1, is_mirror=False)


def test_emptied_log_that_ends_at_the_position_is_kept() -> None:
    assert start(begin=50, end=50) == 50
