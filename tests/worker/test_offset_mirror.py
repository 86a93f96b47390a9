"""Which of the offsets told to the group are a mirror of the store, and which still an operator's instruction."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition

from tests.worker.builders import SIGNUPS
from worker.offset_mirror import OffsetMirror
from worker.positions import MIRROR
from worker.store import Changes
from worker.stores.duckdb import DuckDBStore

PLACE = TopicPartition(SIGNUPS, 0)
INSTRUCTION = ""


class Group:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, Any] = {}

    async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        self.committed |= offsets


@pytest.mark.parametrize(("started_at", "reached", "stored_by_then", "mark"), [
    (100, 100, 100, MIRROR),
    (100, 150, 150, MIRROR),
    (100, 150, 200, MIRROR),  # the next batch was committed, and is not yet counted as reached
    (40, 60, 100, INSTRUCTION),  # rewound
    (40, 100, 100, MIRROR),  # and caught up
    (40, 120, 150, MIRROR),
    (130, 130, 100, INSTRUCTION),  # a skip forward that was allowed
    (130, 150, 150, MIRROR),
])  # fmt: skip
def test_an_offset_is_a_mirror_of_the_store_or_still_an_instruction(
    started_at: int, reached: int, stored_by_then: int, mark: str
) -> None:
    store, group = DuckDBStore(":memory:"), Group()
    store.commit(Changes(positions={(SIGNUPS, 0): 100}))
    mirror = OffsetMirror(store)
    mirror.start(PLACE, started_at)
    mirror.reach(PLACE, reached)
    store.commit(Changes(positions={(SIGNUPS, 0): stored_by_then}))
    asyncio.run(mirror.tell(group))
    assert group.committed == {PLACE: (reached, mark)}
