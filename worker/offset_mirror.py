"""The group's committed offsets follow the store's positions, for tools that show lag. Nothing depends on them."""

from __future__ import annotations

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from worker.failpoints import reach
from worker.positions import MIRROR
from worker.store import Store

log = structlog.get_logger(__name__)


class OffsetMirror:
    """How far each assigned partition was read, and how much of that the group was told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reached: dict[TopicPartition, int] = {}
        self._told: dict[TopicPartition, int] = {}

    def reach(self, place: TopicPartition, offset: int) -> None:
        """Note that `offset` is the next one to read."""
        self._reached[place] = offset

    def forget(self) -> None:
        """Start anew: the partitions are assigned again, or to another."""
        self._reached.clear()
        self._told.clear()

    async def tell(self, consumer: AIOKafkaConsumer) -> None:
        """Commit what the group was not told yet. A failure is left for the next time."""
        news = {place: offset for place, offset in self._reached.items() if self._told.get(place) != offset}
        if not news:
            return
        stored = self._store.positions()
        offsets = {
            # While an operator's rewind is being read, its offsets stay an instruction: a restart goes on with it.
            place: (offset, MIRROR if offset == stored.get((place.topic, place.partition)) else "")
            for place, offset in news.items()
        }
        reach("before-mirror")
        try:
            await consumer.commit(offsets)
        except KafkaError as error:
            log.debug("offsets not mirrored", error=repr(error))
        else:
            reach("after-mirror")
            self._told.update(news)
