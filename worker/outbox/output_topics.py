"""The output topics in Kafka, as the relay uses them: checked, written in transactions, read to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.kafka import clients as kafka
from worker.kafka.batch_sizes import BatchSizes
from worker.messages.churned_event import Envelope
from worker.outbox.publish_requirements import require_publishable
from worker.outbox.publisher import Publisher
from worker.settings import Kafka, Settings
from worker.tracing.spans import Tracing

FETCH_BYTES = 4 * 1024 * 1024


class OutputLogs(NamedTuple):
    """The logs of output partitions: a started reader of committed records, and the first and the end offset of each.

    Ends include uncommitted records.
    """

    reader: AIOKafkaConsumer
    begins: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]


class OutputTopics:
    """The output topics of one relay. The batch sizes that they take are remembered from one publisher to the next."""

    def __init__(self, settings: Settings, tracing: Tracing | None = None) -> None:
        self._settings = settings
        self._tracing = tracing or Tracing()
        self._sizes = BatchSizes()

    async def require_publishable(self) -> Mapping[str, int]:
        """Check the requirements of publishing; returns the number of partitions of each topic.

        Raises `CannotPublish`, or `Refusal` if no broker answers.
        """
        return await require_publishable(self._settings)

    def publisher(self, partitions: Mapping[str, int]) -> Publisher:
        """Return a new publisher, not started yet."""
        envelope = Envelope(self._settings.events.source)
        return Publisher(self._settings.kafka, partitions, envelope, self._sizes, self._tracing)

    async def read_sizes(self, partitions: Mapping[str, int]) -> None:
        """Read the largest batch that each topic takes. Raises `Refusal`."""
        await self._sizes.read(self._settings.kafka, partitions)

    @asynccontextmanager
    async def logs(self, partitions: Mapping[str, int]) -> AsyncIterator[OutputLogs]:
        """Open the logs of every output partition; `partitions` is how many each topic has."""
        all_partitions = [
            TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)
        ]
        ends = await _log_ends(self._settings.kafka, partitions, all_partitions)
        reader = kafka.committed_reader(self._settings.kafka, max_partition_fetch_bytes=FETCH_BYTES)
        try:
            await _connect(reader, partitions)
            yield OutputLogs(reader, await reader.beginning_offsets(all_partitions), ends)
        finally:
            await reader.stop()

    def note_failure(self, error: BaseException) -> None:
        """Use smaller batches if the error is that one was too large."""
        self._sizes.note_failure(error)


async def _connect(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> None:
    """Start a consumer without a group, with the metadata of these topics.

    A request for offsets would load it topic by topic, with a pause of 0.1 s after each.
    """
    async with asyncio.timeout(kafka.CONNECT_SECONDS):
        await consumer.start()
        await consumer._client.set_topics(topics)  # noqa: SLF001 - no public call; aiokafka's minor version is pinned


async def _log_ends(
    settings: Kafka, topics: Iterable[str], all_partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """Look up where each log ends; a reader of committed records would get the last stable offset instead."""
    probe = AIOKafkaConsumer(**kafka.client_options(settings), enable_auto_commit=False)
    try:
        await _connect(probe, topics)
        return dict(await probe.end_offsets(all_partitions))
    finally:
        await probe.stop()
