"""Lag and age of a partition, unreadable topics, and foreign members of the group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from tests.support.builders import CANCELLATIONS, SIGNUPS
from tests.worker.test_health import parts
from worker.consumer import input_watch
from worker.consumer.input_watch import InputWatch
from worker.consumer.progress import ENDS_KEPT, Progress
from worker.kafka.group_membership import GroupMember, foreign_members
from worker.kafka.topic_metadata import DESCRIBE, READ, PartitionMetadata, TopicMetadata

INPUTS = ("signups", "cancellations")
BOTH = frozenset(INPUTS)


def progress(position: int, *ends: tuple[float, int]) -> Progress:
    """One that was at `position` at time 0 and saw these ends at these times."""
    made = Progress(0.0)
    made.read_to(position, 0.0)
    for at, end in ends:
        made.ends_at(end, at)
    return made


def test_lag_is_known_by_the_last_end() -> None:
    assert progress(10).lag() == 0
    assert progress(10, (1.0, 25)).lag() == 15
    assert progress(10, (1.0, 25), (2.0, 8)).lag() == 0


def test_lag_of_a_partition_never_held_is_from_the_store() -> None:
    watched = Progress(0.0)
    watched.ends_at(25, 1.0)
    assert (watched.lag(), watched.lag(20)) == (25, 5)


def test_age_of_the_lag_is_that_of_the_oldest_unread_offset() -> None:
    watched = progress(10, (1.0, 11), (2.0, 30), (3.0, 40))
    watched.is_readable(9.0)
    assert watched.behind_seconds(10.0) == 9.0
    watched.read_to(11, 10.0)
    assert watched.behind_seconds(10.0) == 8.0
    watched.read_to(40, 10.0)
    assert watched.behind_seconds(10.0) == 1.0  # since it was last known to be readable


def test_unreadable_partition_falls_behind_without_news() -> None:
    watched = progress(10, (1.0, 10))
    watched.is_readable(5.0)
    assert (watched.lag(), watched.behind_seconds(65.0)) == (0, 60.0)


def test_position_stands_only_while_records_wait() -> None:
    watched = progress(10, (1.0, 10))
    assert watched.standing_seconds(100.0) == 0
    watched.ends_at(12, 101.0)
    assert watched.standing_seconds(105.0) == 4.0
    watched.read_to(11, 106.0)
    assert watched.standing_seconds(110.0) == 4.0


def test_position_that_went_back_is_behind_again() -> None:
    watched = progress(0, (1.0, 10))
    watched.read_to(10, 2.0)
    watched.is_readable(20.0)
    watched.read_to(4, 12.0)
    assert (watched.lag(), watched.behind_seconds(20.0), watched.standing_seconds(20.0)) == (6, 8.0, 8.0)


def test_shorter_log_forgets_its_former_ends() -> None:
    watched = progress(10, (1.0, 50), (2.0, 5), (8.0, 12))
    watched.is_readable(9.0)
    assert watched.behind_seconds(9.0) == 1.0


def test_long_backlog_keeps_its_oldest_end() -> None:
    watched = progress(0, *((float(second), second) for second in range(1, 5 * ENDS_KEPT)))
    watched.is_readable(5.0 * ENDS_KEPT)
    assert len(watched._ends) <= ENDS_KEPT
    assert watched.behind_seconds(5.0 * ENDS_KEPT) == 5.0 * ENDS_KEPT - 1


@pytest.mark.parametrize(
    ("error", "operations", "why"),
    [
        (None, None, None),
        (None, frozenset({READ, DESCRIBE}), None),
        (None, frozenset({DESCRIBE}), "the right READ on the topic is missing"),
        (TopicAuthorizationFailedError, None, "the right READ on the topic is missing"),
        (UnknownTopicOrPartitionError, None, "the topic does not exist"),
        (KafkaError, None, None),  # for a moment, as while a leader is elected
    ],
)
def test_topic_is_unreadable_for_a_reason(
    error: type[KafkaError] | None, operations: frozenset[int] | None, why: str | None
) -> None:
    topic = TopicMetadata("signups", error, None, {0: PartitionMetadata(1, 0)}, operations)
    assert topic.unreadable_because == why


def member(client_id: str, topics: frozenset[str], *, is_consumer_protocol: bool = False) -> GroupMember:
    partitions = frozenset(TopicPartition(topic, 0) for topic in topics)
    return GroupMember(client_id, client_id, "10.0.0.1", topics, partitions, is_consumer_protocol)


def test_members_that_are_no_workers_are_foreign() -> None:
    workers = [
        member("faststream-0.7.8", BOTH),
        member("faststream-0.8.0", BOTH),  # while a new version is deployed
        member("faststream-0.7.8", frozenset()),  # it is joining
    ]
    foreign = [
        member("console-consumer", BOTH),
        member("faststream-0.7.8", frozenset({"signups"})),
        member("faststream-0.7.8", BOTH, is_consumer_protocol=True),
    ]
    assert foreign_members([*workers, *foreign], "faststream-0.7.8", INPUTS) == foreign
    assert foreign[0].shown == "console-consumer at 10.0.0.1"


# What is wrong with a topic

FIRST, SECOND, OTHER = TopicPartition(SIGNUPS, 0), TopicPartition(SIGNUPS, 1), TopicPartition(CANCELLATIONS, 0)
TOPICS = {
    SIGNUPS: TopicMetadata(SIGNUPS, None, None, {n: PartitionMetadata(1, 0) for n in (0, 1)}, None),
    CANCELLATIONS: TopicMetadata(CANCELLATIONS, None, None, {0: PartitionMetadata(1, 0)}, None),
}
ENDS = {FIRST: 12, SECOND: 10, OTHER: 10}


def problem(change: Callable[[InputWatch], object], *, now: float, is_assigned: bool = True) -> str | None:
    """Return the problem of the signups at `now`, where all was well at time 0 and `FIRST` got two records."""

    async def look() -> str | None:
        async with parts() as those:
            inputs, assignment = those.consumer.inputs, those.consumer.assignment
            assignment.ends = dict(ENDS)
            note_topics(inputs)
            inputs._partitions.note_ends(ENDS, 0.0)
            inputs._partitions.note_positions(dict.fromkeys(ENDS, 10), 0.0)
            change(inputs)
            note_topics(inputs)
            return inputs._problem(SIGNUPS, TOPICS, now, is_assigned=is_assigned)

    return asyncio.run(look())


def note_topics(inputs: InputWatch) -> None:
    inputs._partitions.note_topics(TOPICS, inputs._assignment.partitions, inputs._elsewhere, 0.0)


def ends_known(inputs: InputWatch) -> None:
    inputs._partitions.note_ends(ENDS, 3_600.0)


def without(*gone: TopicPartition) -> Callable[[InputWatch], None]:
    def change(inputs: InputWatch) -> None:
        ends_known(inputs)
        inputs._assignment.ends = {partition: end for partition, end in ENDS.items() if partition not in gone}

    return change


def paused(inputs: InputWatch) -> None:
    ends_known(inputs)
    inputs._assignment.backlog.paused = frozenset({FIRST})


def shortened(inputs: InputWatch) -> None:
    inputs._partitions.note_ends({SECOND: 7}, 0.0)


def elsewhere(inputs: InputWatch) -> None:
    without(FIRST, SECOND)(inputs)
    inputs._elsewhere = frozenset({FIRST, SECOND})


@pytest.mark.parametrize(
    ("change", "now", "found"),
    [
        (ends_known, 5.0, None),
        (ends_known, 61.0, "partition 0 makes no progress: its position is 10 for 61 s, its end 12"),
        (paused, 61.0, None),  # cancellations wait for the backlog of signups
        (lambda _: None, 11.0, "partition 0 has no leader"),
        (shortened, 1.0, "partition 1 ends at offset 7, before the position 10"),
        (without(FIRST, SECOND), 1.0, input_watch.NO_WORKER),
        (without(SECOND), 1.0, None),  # a new partition is shared out within half a minute
        (without(SECOND), 61.0, "partition 0 makes no progress"),
        (without(FIRST), 61.0, "partition 0 is assigned to no worker"),
        (elsewhere, 3_600.0, None),  # another worker answers for them
    ],
)
def test_topic_has_a_problem(change: Callable[[InputWatch], object], now: float, found: str | None) -> None:
    seen = problem(change, now=now)
    assert (seen is None) if found is None else str(seen).startswith(found)


def test_no_worker_is_only_said_of_a_group_that_is_stable() -> None:
    assert problem(without(FIRST, SECOND), now=1.0, is_assigned=False) is None
