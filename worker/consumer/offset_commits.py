"""Commits of the store's positions as the group's offsets, for tools that show lag. Nothing depends on them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from worker.consumer.start_offset import MIRROR
from worker.failpoints import reach
from worker.kafka.errors import in_words
from worker.metrics.kafka_requests import KafkaRequests, Operation, failure_cause

log = structlog.get_logger(__name__)

COMMIT_SECONDS = 3.0
"""aiokafka repeats a commit without end, such as that of a deleted topic, and a rebalance waits for it."""


class OffsetCommits:
    """The positions of the assigned partitions, and which of them are committed to the group."""

    def __init__(self, requests: KafkaRequests | None = None) -> None:
        self._requests = requests or KafkaRequests()
        self._stored: dict[TopicPartition, int] = {}
        self._reached: dict[TopicPartition, int] = {}
        self._passed: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._rewound: dict[TopicPartition, int] = {}

    def start(self, partition: TopicPartition, offset: int, stored: int) -> None:
        """Record the start `offset`: it is before the `stored` position if an operator rewound the group."""
        self._rewound[partition] = self._stored[partition] = stored
        self._reached[partition] = offset

    @property
    def reached(self) -> Mapping[TopicPartition, int]:
        """The next offset to read of each assigned partition."""
        return dict(self._reached)

    def reach(self, partition: TopicPartition, offset: int) -> None:
        """Record that a batch is committed; `offset` is the next one to read."""
        self._reached[partition] = offset
        self._stored[partition] = max(offset, self._stored.get(partition, 0))

    def pass_over(self, positions: Mapping[TopicPartition, int]) -> None:
        """Record that before these positions there are only transaction markers and aborted records.

        The store's positions are not changed: a restart skips them again.
        """
        for partition, offset in positions.items():
            # A rewind or skip by an operator is completed first: a restart would continue from this offset.
            if partition in self._reached and self._mark(partition, self._reached[partition]) == MIRROR:
                self._passed[partition] = offset

    def forget(self) -> None:
        """Reset the state: the partitions are assigned again, or to another worker."""
        self._passed.clear()
        self._reached.clear()
        self._committed.clear()
        self._rewound.clear()
        self._stored.clear()

    async def commit(self, consumer: AIOKafkaConsumer, *, force: bool = False) -> bool:
        """Commit changed offsets, or all with `force`. Returns False if Kafka refused; the next call retries them."""
        ends = {partition: max(offset, self._passed.get(partition, 0)) for partition, offset in self._reached.items()}
        news = {
            partition: offset for partition, offset in ends.items() if force or self._committed.get(partition) != offset
        }
        if not news:
            return True
        offsets = {
            partition: (offset, self._mark(partition, self._reached[partition])) for partition, offset in news.items()
        }
        reach("before-mirror")
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            log.debug("offsets not mirrored", error=in_words(error))
            self._requests.failed(Operation.COMMIT_OFFSETS, failure_cause(error))
            return False
        self._requests.succeeded(Operation.COMMIT_OFFSETS)
        reach("after-mirror")
        self._committed.update(news)
        return True

    def _mark(self, partition: TopicPartition, offset: int) -> str:
        # While an operator's rewind is being read, or a skip has not begun, the offset stays an instruction: a restart
        # continues with it.
        return MIRROR if self._rewound.get(partition, 0) <= offset <= self._stored.get(partition, 0) else ""
