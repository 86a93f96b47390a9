"""Committed offsets carry metadata that marks them as copies of the stored positions."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition

from tests.support.builders import SIGNUPS
from worker.consumer.offset_commits import OffsetCommits
from worker.consumer.start_offset import MIRROR

PLACE = TopicPartition(SIGNUPS, 0)
INSTRUCTION = ""


class Group:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, Any] = {}

    async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        self.committed |= offsets


@pytest.mark.parametrize(("started_at", "reached", "mark"), [
    (100, 100, MIRROR),
    (100, 150, MIRROR),
    (40, 60, INSTRUCTION),  # rewound
    (40, 100, MIRROR),  # and caught up
    (40, 120, MIRROR),
    (130, 130, INSTRUCTION),  # a skip forward that was allowed
    (130, 150, MIRROR),
])  # fmt: skip
def test_offset_metadata_marks_mirrored_positions(started_at: int, reached: int, mark: str) -> None:
    mirror, group = OffsetCommits(), Group()
    mirror.start(PLACE, started_at, stored=100)
    if reached != started_at:
        mirror.reach(PLACE, reached)
    asyncio.run(mirror.commit(group))
    assert group.committed == {PLACE: (reached, mark)}


@pytest.mark.parametrize(
    ("started_at", "passed", "committed"),
    [(100, 103, (103, MIRROR)), (40, 43, (40, INSTRUCTION))],  # a rewind is followed to its end first
)
def test_transaction_markers_are_skipped(started_at: int, passed: int, committed: tuple[int, str]) -> None:
    mirror, group = OffsetCommits(), Group()
    mirror.start(PLACE, started_at, stored=100)
    mirror.pass_over({PLACE: passed})
    asyncio.run(mirror.commit(group))
    assert group.committed == {PLACE: committed}
    assert mirror.reached == {PLACE: started_at}
