"""The backlog of signups: while it is read, the partitions of cancellations are paused.

Read side by side, most cancellations would come before their signups, be parked, and be applied later at a higher cost.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from worker.kafka.errors import in_words

log = structlog.get_logger(__name__)


class SignupBacklog:
    """The signups between the start offsets of an assignment and the ends of their logs at that time.

    `paused` are the partitions of cancellations that wait for them: none if the signups fit into one batch of
    `batch_records`.
    """

    def __init__(self, signup_topic: str, batch_records: int) -> None:
        self._topic = signup_topic
        self._batch_records = batch_records
        self._ends: dict[TopicPartition, int] = {}
        self.paused: frozenset[TopicPartition] = frozenset()

    def start(self, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        """Take the start and end offsets of an assignment."""
        self.forget()
        unread = {partition: end for partition, end in ends.items() if starts[partition] < end}
        backlog = {partition: end for partition, end in unread.items() if partition.topic == self._topic}
        records = sum(end - starts[partition] for partition, end in backlog.items())
        if records > self._batch_records:
            self._ends = backlog
            self.paused = frozenset(partition for partition in starts if partition.topic != self._topic)
            log.info("cancellations paused for signup backlog", signups=records)

    async def resume_cancellations(self, consumer: AIOKafkaConsumer) -> None:
        """Resume the paused partitions once the backlog is read. The last of it can be a transaction's marker."""
        try:
            for partition, end in list(self._ends.items()):
                if await consumer.position(partition) >= end:
                    self._ends.pop(partition, None)  # another call may have removed it meanwhile
            if not self._ends:
                consumer.resume(*self.paused)
                self.forget()
        except IllegalStateError as error:  # the partitions are being revoked: the next assignment starts again
            log.debug("cancellations not resumed", error=in_words(error))

    def forget(self) -> None:
        """Forget the assignment."""
        self._ends.clear()
        self.paused = frozenset()
