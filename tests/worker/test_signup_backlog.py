"""Cancellations are paused while more than a batch of signups waits, and resumed at the end of that backlog."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

from worker.consumer.signup_backlog import SignupBacklog

FIRST, SECOND = TopicPartition("signups", 0), TopicPartition("signups", 1)
CANCELLATIONS = TopicPartition("cancellations", 0)
STARTS = {FIRST: 100, SECOND: 200, CANCELLATIONS: 0}
BATCH = 50


class Consumer:
    """The part of aiokafka's consumer that knows positions and resumes partitions."""

    def __init__(self, **positions: int) -> None:
        self.positions = {FIRST: positions.get("first", 100), SECOND: positions.get("second", 200)}
        self.resumed: set[TopicPartition] = set()
        self.is_revoked = False

    async def position(self, partition: TopicPartition) -> int:
        if self.is_revoked:
            raise IllegalStateError(partition)
        return self.positions[partition]

    def resume(self, *partitions: TopicPartition) -> None:
        self.resumed.update(partitions)


def backlog(ends: Mapping[TopicPartition, int]) -> SignupBacklog:
    made = SignupBacklog("signups", BATCH)
    made.start(STARTS, {**STARTS, **ends})
    return made


@pytest.mark.parametrize(
    ("ends", "is_paused"),
    [
        ({}, False),
        ({FIRST: 150}, False),  # one batch
        ({FIRST: 126, SECOND: 226}, True),  # one batch and two records more, over both partitions
        ({CANCELLATIONS: 10_000}, False),
    ],
)
def test_cancellations_are_paused_by_more_than_a_batch(ends: Mapping[TopicPartition, int], is_paused: bool) -> None:
    assert backlog(ends).paused == ({CANCELLATIONS} if is_paused else set())


def test_cancellations_are_resumed_once_all_signups_are_read() -> None:
    waiting, consumer = backlog({FIRST: 150, SECOND: 250}), Consumer()
    for first, second, resumed in ((150, 200, set()), (150, 249, set()), (150, 250, {CANCELLATIONS})):
        consumer.positions = {FIRST: first, SECOND: second}
        asyncio.run(waiting.resume_cancellations(consumer))
        assert consumer.resumed == resumed
    assert not waiting.paused


def test_signups_after_the_assignment_are_not_waited_for() -> None:
    waiting, consumer = backlog({FIRST: 200}), Consumer(first=200)
    asyncio.run(waiting.resume_cancellations(consumer))
    assert consumer.resumed == {CANCELLATIONS}


def test_revoked_partitions_are_left_to_the_next_assignment() -> None:
    waiting, consumer = backlog({FIRST: 200}), Consumer(first=200)
    consumer.is_revoked = True
    asyncio.run(waiting.resume_cancellations(consumer))
    assert not consumer.resumed


def test_another_assignment_starts_anew() -> None:
    waiting = backlog({FIRST: 200})
    waiting.start(STARTS, STARTS)
    assert not waiting.paused
