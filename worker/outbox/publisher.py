"""Outgoing records to their partitions, in order; the relay's in transactions, all or none."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder
from typing_extensions import override

from worker.failpoints import reach
from worker.kafka import clients as kafka
from worker.kafka import record_parsing
from worker.kafka.batch_builders import EscapedBatchBuilder
from worker.kafka.batch_sizes import BatchSizes, RecordTooLarge
from worker.kafka.partitioner import partitions_for
from worker.messages.churned_event import Envelope, customer_key
from worker.messages.outgoing import Outgoing
from worker.messages.record import TopicPartition
from worker.outbox.event_batches import EventBatch, event_batches
from worker.outbox.publish_errors import root
from worker.outbox.publish_requirements import no_coordinator
from worker.settings import Kafka
from worker.tracing.spans import Tracing

log = structlog.get_logger(__name__)

PUBLISH_SECONDS = 20.0  # shorter than the transaction's own timeout, so that the doubt is ours to settle
INIT_SECONDS = 10.0
CLOSE_SECONDS = 5.0
NOT_COMPLETED = (
    f"Kafka did not complete a transaction within {PUBLISH_SECONDS:.0f} s. Check that each partition of the output "
    "topics has a leader and as many in-sync replicas as min.insync.replicas"
)
ZSTD = 4  # the codec's number in a record batch


class BatchProducer:
    """Producer of records in batches, in order within each partition. Not usable after any error.

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
        """Disconnect; a producer that hangs is left behind."""
        try:
            await asyncio.wait_for(self._producer.stop(), CLOSE_SECONDS)
        except (TimeoutError, KafkaError) as error:
            log.debug("producer not stopped in time", error=str(error))
        finally:
            _retrieve_failures(self._producer)

    async def send(self, messages: Sequence[Outgoing]) -> dict[TopicPartition, int]:
        """Send the messages; returns the end offsets of their partitions after them. There is no time limit."""
        sent = []
        for topic, partition, batch in self._batches(messages):
            acknowledged = await self._producer.send_batch(batch, topic, partition=partition)
            acknowledged.add_done_callback(_retrieve)
            sent.append((acknowledged, batch.record_count()))
        ends: dict[TopicPartition, int] = {}
        for acknowledged, count in sent:
            metadata = await acknowledged
            if metadata.offset >= 0:  # a batch that was sent twice and taken once has no offset: its end stays behind
                ends[metadata.topic, metadata.partition] = metadata.offset + count
        return ends

    def _batches(self, messages: Sequence[Outgoing]) -> Iterator[tuple[str, int, BatchBuilder]]:
        """Yield the messages as batches to be sent, in order within each partition. Raises `RecordTooLarge`."""
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
        """Group the messages by their partitions, in order within each."""
        grouped: dict[TopicPartition, list[Outgoing]] = defaultdict(list)
        for message in messages:
            if message.partition is not None:
                grouped[message.topic, message.partition % self._partitions[message.topic]].append(message)
        for topic, events, numbers in self._events(messages):
            for number, event in zip(numbers, events, strict=True):
                grouped[topic, number].append(event)
        return grouped

    def _events(self, messages: Sequence[Outgoing]) -> Iterator[tuple[str, Sequence[Outgoing], Sequence[int]]]:
        """Yield the events of each topic, and the partition of each."""
        by_topic: dict[str, list[Outgoing]] = defaultdict(list)
        for message in messages:
            if _is_event(message):
                by_topic[message.topic].append(message)
        for topic, events in by_topic.items():
            yield topic, events, partitions_for([customer_key(event) for event in events], self._partitions[topic])

    def _is_alone(self, message: Outgoing, size: int) -> bool:
        """Return whether the message is sent in a separate batch, for batches of this size."""
        return is_large(message, size) or not record_parsing.are_plain(message.headers)

    def _begin_batch(self, topic: str, message: Outgoing, size: int) -> BatchBuilder:
        """Begin a batch with the message; one that it fills is closed."""
        batch = self._batch_with(message, size, ZSTD if is_large(message, size) else 0)
        largest = self._sizes.largest(topic)
        if batch.size() > (largest or size):
            # A value that was received in a compressed batch may exceed the limit of the topic uncompressed.
            batch = self._batch_with(message, size, ZSTD)
            if largest is not None and (fewest := _compressed_size(self._batch_with(message, size, ZSTD))) > largest:
                raise RecordTooLarge(topic, fewest, largest)
        if self._is_alone(message, size):
            batch.close()
        return batch

    def _batch_with(self, message: Outgoing, size: int, codec: int) -> BatchBuilder:
        is_plain = record_parsing.are_plain(message.headers)
        builder = BatchBuilder if is_plain else EscapedBatchBuilder
        batch = builder(size, codec, is_transactional=int(self._is_transactional))
        self._append(batch, message)
        return batch

    def _append(self, batch: BatchBuilder, message: Outgoing) -> bool:
        added = batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers)
        return added is not None


class Publisher(BatchProducer):
    """Producer of records in transactions. After any error the outcome of its transaction is unknown."""

    def __init__(
        self,
        settings: Kafka,
        partitions: Mapping[str, int],
        envelope: Envelope,
        sizes: BatchSizes | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(kafka.relay_producer(settings), partitions, sizes or BatchSizes(), is_transactional=True)
        self._settings = settings
        self._envelope = envelope
        self._tracing = tracing or Tracing()

    @override
    async def start(self) -> None:
        """Connect, end the transaction that a predecessor left open, and fence it. Raises `CannotPublish`."""
        try:
            await asyncio.wait_for(self._producer.start(), INIT_SECONDS)
        except TimeoutError:  # aiokafka retries the request to the coordinator on any error
            raise no_coordinator(self._settings) from None

    @override
    def _batches(self, messages: Sequence[Outgoing]) -> Iterator[tuple[str, int, BatchBuilder]]:
        yield from super()._batches([message for message in messages if not _is_event(message)])
        for topic, events, partitions in self._events(messages):
            size = self._sizes.fill(topic)
            begin = partial(self._begin_batch, topic, size=size)
            for partition, batch in event_batches(events, partitions, begin, largest_shared(size)):
                yield topic, partition, batch

    @override
    def _is_alone(self, message: Outgoing, size: int) -> bool:
        return is_large(message, size) if _is_event(message) else super()._is_alone(message, size)

    @override
    def _batch_with(self, message: Outgoing, size: int, codec: int) -> BatchBuilder:
        if not _is_event(message):
            return super()._batch_with(message, size, codec)
        batch = EventBatch(self._envelope, size, codec)
        batch.add(message)
        return batch

    async def publish(self, messages: Sequence[Outgoing]) -> dict[TopicPartition, int]:
        """Publish the messages in one transaction; returns the end offsets of their partitions after them.

        Raises the error that the transaction failed with first: those after it are its consequences.
        """
        with self._tracing.transaction(messages):
            return await self._publish(messages)

    async def _publish(self, messages: Sequence[Outgoing]) -> dict[TopicPartition, int]:
        reach("before-publish")
        transaction = None
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                transaction = await self._begin_transaction()
                ends = await self.send(messages)  # the commit would not detect a failed batch
                reach("in-transaction")
                await self._producer.commit_transaction()
        except TimeoutError:
            raise TimeoutError(NOT_COMPLETED) from None
        except (KafkaError, IllegalOperation, AssertionError) as error:
            raise _first_failure(transaction, error) from None
        reach("after-publish")
        return ends

    async def _begin_transaction(self) -> asyncio.Future[None]:
        """Begin a transaction; returns the future of its outcome."""
        await self._producer.begin_transaction()
        # There is no public call for it; aiokafka's minor version is pinned.
        transaction: asyncio.Future[None] = self._producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001
        transaction.add_done_callback(_retrieve)
        return transaction


def _first_failure(transaction: asyncio.Future[None] | None, error: BaseException) -> BaseException:
    if transaction and transaction.done() and not transaction.cancelled() and (first := transaction.exception()):
        error = first
    elif isinstance(error, IllegalOperation):  # which is no KafkaError: it was fenced between two of its sends
        error = ProducerFenced(str(error))
    elif isinstance(error, AssertionError):  # aiokafka's: a partition is missing, or its producer has failed before
        error = KafkaError(f"the Kafka client has failed: {error}")
    return root(error)


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Mark a failure as retrieved: asyncio prints others."""
    if future.done() and not future.cancelled():
        future.exception()


def _retrieve_failures(producer: AIOKafkaProducer) -> None:
    """Mark failures as retrieved: of batches that a failed producer never sent, and of its transaction."""
    # There is no public call for them; aiokafka's minor version is pinned.
    accumulator, transactions = producer._message_accumulator, producer._txn_manager  # noqa: SLF001
    for batch in chain(*accumulator._batches.values(), accumulator._pending_batches):  # noqa: SLF001
        _retrieve(batch.future)
        _retrieve(batch._drain_waiter)  # noqa: SLF001
    if transaction := transactions and transactions.wait_for_transaction_end():
        _retrieve(transaction)


def _is_event(message: Outgoing) -> bool:
    return message.partition is None


def is_large(message: Outgoing, size: int) -> bool:
    """Return whether a message is too large to share a batch of so many bytes."""
    return len(message.value or b"") > largest_shared(size)


def largest_shared(size: int) -> int:
    """Return the size of the largest value that shares a batch of so many bytes."""
    return size // 2


def _compressed_size(batch: BatchBuilder) -> int:
    batch._build()  # noqa: SLF001 - a built batch has no producer id: the size is measured on a copy
    return int(batch.size())
