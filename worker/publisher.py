"""Outgoing records to their partitions, in order; the relay's in transactions, all or none."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder
from typing_extensions import override

from worker import kafka, raw_headers
from worker.batch_sizes import BatchSizes, RecordTooLarge
from worker.failpoints import reach
from worker.outgoing import Envelope, Outgoing, customer_key
from worker.partitioner import partitions_for
from worker.records import Header, TopicPartition
from worker.settings import Kafka

log = structlog.get_logger(__name__)

PUBLISH_SECONDS = 20.0  # shorter than the transaction's own timeout, so that the doubt is ours to settle
CLOSE_SECONDS = 5.0
ZSTD = 4  # the codec's number in a record batch


class BatchProducer:
    """Sends records in batches, in order within each partition. After any error it is finished.

    `partitions` is how many each topic that it sends to has, `sizes` what batches they take; `producer` is not started
    yet.
    """

    def __init__(
        self, producer: AIOKafkaProducer, partitions: Mapping[str, int], sizes: BatchSizes, *, is_transactional: bool
    ) -> None:
        self._producer = producer
        self._partitions = partitions
        self._sizes = sizes
        self._is_transactional = is_transactional

    async def start(self) -> None:
        """Connect; a transactional producer also ends the transaction that a predecessor left open, and fences it."""
        await asyncio.wait_for(self._producer.start(), PUBLISH_SECONDS)

    async def stop(self) -> None:
        """Let go of the connection; a producer that hangs is left behind."""
        try:
            await asyncio.wait_for(self._producer.stop(), CLOSE_SECONDS)
        except (TimeoutError, KafkaError) as error:
            log.debug("the producer did not stop in time", error=repr(error))

    async def send(self, messages: Sequence[Outgoing]) -> dict[TopicPartition, int]:
        """Send the messages; the ends of the partitions they went to, after them. It takes as long as it takes."""
        sent = [
            (await self._producer.send_batch(batch, topic, partition=partition), batch.record_count())
            for topic, partition, batch in self._batches(messages)
        ]
        ends: dict[TopicPartition, int] = {}
        for acknowledged, count in sent:
            metadata = await acknowledged
            if metadata.offset >= 0:  # a batch that was sent twice and taken once has no offset: its end stays behind
                ends[metadata.topic, metadata.partition] = metadata.offset + count
        return ends

    def _batches(self, messages: Sequence[Outgoing]) -> Iterator[tuple[str, int, BatchBuilder]]:
        """The messages as batches to be sent, in order within each partition. Raises `RecordTooLarge`."""
        for (topic, partition), those in self.by_partition(messages).items():
            for batch in self._batches_of(topic, those):
                yield topic, partition, batch

    def _batches_of(self, topic: str, messages: Sequence[Outgoing]) -> Iterator[BatchBuilder]:
        batch: BatchBuilder | None = None
        size = self._sizes.fill(topic)
        for message in messages:
            if batch is None or self._is_alone(message, size) or not self._append(batch, message):
                if batch is not None:
                    yield batch
                batch = self._begin_batch(topic, message, size)
        if batch is not None:
            yield batch

    def by_partition(self, messages: Sequence[Outgoing]) -> Mapping[TopicPartition, Sequence[Outgoing]]:
        """The messages by the partition each goes to, in order within each."""
        grouped: dict[TopicPartition, list[Outgoing]] = defaultdict(list)
        keyed: dict[str, list[Outgoing]] = defaultdict(list)
        for message in messages:
            if message.partition is None:
                keyed[message.topic].append(message)
            else:
                grouped[message.topic, message.partition % self._partitions[message.topic]].append(message)
        for topic, those in keyed.items():
            places = partitions_for([customer_key(message) for message in those], self._partitions[topic])
            for place, message in zip(places, those, strict=True):
                grouped[topic, place].append(message)
        return grouped

    def _is_alone(self, message: Outgoing, size: int) -> bool:
        """Whether the message has a batch of its own, of batches of so many bytes."""
        is_event = message.partition is None  # whose headers have names of ours
        return is_large(message, size) or not (is_event or raw_headers.are_plain(message.headers))

    def _begin_batch(self, topic: str, message: Outgoing, size: int) -> BatchBuilder:
        """Begin a batch with the message; one that it fills is closed."""
        batch = self._batch_with(message, size, ZSTD if is_large(message, size) else 0)
        largest = self._sizes.largest(topic)
        if batch.size() > (largest or size):
            batch = self._batch_with(message, size, ZSTD)
            if largest is not None and (fewest := _compressed_size(self._batch_with(message, size, ZSTD))) > largest:
                raise RecordTooLarge(topic, fewest, largest)
        if self._is_alone(message, size):
            batch.close()
        return batch

    def _batch_with(self, message: Outgoing, size: int, codec: int) -> BatchBuilder:
        # What came compressed may be far larger than a topic takes as it is.
        is_plain = message.partition is None or raw_headers.are_plain(message.headers)
        builder = BatchBuilder if is_plain else raw_headers.EscapedBatchBuilder
        batch = builder(size, codec, is_transactional=int(self._is_transactional))
        self._append(batch, message)
        return batch

    def _append(self, batch: BatchBuilder, message: Outgoing) -> bool:
        key, headers = self._key_and_headers(message)
        return batch.append(timestamp=None, key=key, value=message.value, headers=headers) is not None

    def _key_and_headers(self, message: Outgoing) -> tuple[bytes | None, Sequence[Header]]:
        return message.key, message.headers


class Publisher(BatchProducer):
    """Publishes in transactions. After any error what became of its transaction is not known."""

    def __init__(
        self, settings: Kafka, partitions: Mapping[str, int], envelope: Envelope, sizes: BatchSizes | None = None
    ) -> None:
        super().__init__(kafka.relay_producer(settings), partitions, sizes or BatchSizes(), is_transactional=True)
        self._envelope = envelope

    @override
    def _key_and_headers(self, message: Outgoing) -> tuple[bytes | None, Sequence[Header]]:
        return self._envelope.key_and_headers(message)

    async def publish(self, messages: Sequence[Outgoing]) -> dict[TopicPartition, int]:
        """Publish the messages in one transaction; the ends of the partitions they went to, after them."""
        reach("before-publish")
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._producer.begin_transaction()
                ends = await self.send(messages)  # the commit would not notice a batch that failed
                reach("in-transaction")
                await self._producer.commit_transaction()
        except IllegalOperation as error:  # which is no KafkaError: it was fenced between two of its sends
            raise ProducerFenced(str(error)) from error
        reach("after-publish")
        return ends


def is_large(message: Outgoing, size: int) -> bool:
    """Whether a message is too large to share a batch of so many bytes."""
    return len(message.value or b"") > size // 2


def _compressed_size(batch: BatchBuilder) -> int:
    batch._build()  # noqa: SLF001 - a batch that is built has no producer's number: only a copy tells the size
    return int(batch.size())
