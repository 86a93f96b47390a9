"""The FastStream subscriber, and the commits of the group's offsets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from worker.consumer.applier import Applier
from worker.consumer.assignment import Assignment
from worker.consumer.input_watch import InputWatch
from worker.consumer.joining import Joining
from worker.consumer.offset_commits import OffsetCommits
from worker.consumer.poll_monitor import Polling
from worker.consumer.prefetch import Prefetcher
from worker.consumer.single_owner_assignor import SingleOwnerAssignor
from worker.errors import Stop, internal_error
from worker.metrics.counters import Metrics
from worker.outbox.relay import Relay
from worker.processing.batch import BatchProcessor
from worker.settings import Settings
from worker.stores.port import Store
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

MIRROR_EVERY_SECONDS = 1.0
LOOK_SECONDS = 1.0
LONG_BATCH_SECONDS = 5.0


class Consumer:
    """Consumer of the input topics, which passes each poll to the prefetcher, the applier and the store."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        thread: StoreThread,
        processor: BatchProcessor,
        relay: Relay,
        stop: Stop,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._store = store
        self._stop = stop
        self._offsets = OffsetCommits(metrics.kafka)
        decode = processor.decoder.decode_all
        self.assignment = Assignment(settings, store, thread, self._offsets, stop, decode, metrics.store_lost_commits)
        self.joining = Joining(settings)
        self.applier = Applier(
            settings.batch, store, thread, processor, self.assignment, self._offsets, relay, stop, metrics
        )
        self._prefetcher = Prefetcher(self.assignment, settings.batch.max_records, self.applier.apply, self._fail)
        self.polling = Polling(self.assignment, self._fail, metrics.kafka)
        self.inputs = InputWatch(settings, self.assignment, self.positions, self._is_busy, metrics.kafka)

    def subscribe(self, broker: KafkaBroker) -> None:
        """Register with the broker; reading begins when that starts."""
        batch = self._settings.batch
        self.assignment.subscriber = broker.subscriber(
            *self._settings.topics.inputs,
            batch=True,
            group_id=self._settings.kafka.group_id,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            auto_offset_reset="none",  # it would skip deleted records: `Polling` handles such offsets
            isolation_level="read_committed",
            listener=self.assignment,
            partition_assignment_strategy=(self.assignor,),
            max_records=batch.max_records,
            fetch_max_bytes=batch.max_bytes,
            max_partition_fetch_bytes=batch.max_bytes,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_500,
            value_deserializer=self.assignment.reading,  # `record_parsing` applies it to whole record batches
            parser=_hand_over,
            decoder=_hand_over_messages,
        )
        self.assignment.subscriber(self._consume)
        self.polling.watch(self.assignment.subscriber)

    @property
    def assignor(self) -> type[Any]:
        """The assignor with which this worker joins its group."""
        if owner := self._store.exclusive_id:
            return SingleOwnerAssignor.with_store(owner)
        # The same partition of both topics is assigned to one worker: few customers are changed by two workers.
        return RangePartitionAssignor  # type: ignore[no-any-return]

    async def _consume(self, messages: Sequence[Any]) -> None:
        """Submit a poll. FastStream would skip it if this raised."""
        if self._stop.is_asked:
            await asyncio.Event().wait()  # until FastStream is stopped, too: further polls would be useless
        try:
            if self.assignment.is_set.is_set():  # else they were fetched before, and are not the next records
                await self._prefetcher.submit(messages)
        except Exception as error:  # noqa: BLE001 - any error stops the worker
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        log.error("poll failed", exc_info=error)
        self._stop.fail_stop(internal_error(error))

    async def run_mirror(self) -> None:
        """Commit the store's positions to the group each second, and handle changes that are not records."""
        while True:
            await asyncio.sleep(MIRROR_EVERY_SECONDS)
            await self.assignment.reclaim()
            await self.assignment.check_commits()
            if self.assignment.is_set.is_set() and self.inputs.group_problem is None:
                self._offsets.pass_over(await self.positions())
                await self._offsets.commit(self.assignment.consumer)
            await self.assignment.resume_cancellations()

    async def positions(self) -> dict[TopicPartition, int]:
        """Return the next offset to read of each assigned partition; markers of transactions do not count as unread."""
        if not self.assignment.is_set.is_set():
            return {}
        consumer, reached = self.assignment.consumer, self._offsets.reached
        if not self._prefetcher.is_idle or self._prefetcher.waiting:
            return dict(reached)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                # Without a batch in progress, the offsets between are no records.
                return {each: max(offset, await consumer.position(each)) for each, offset in reached.items()}
        except (IllegalStateError, TimeoutError):  # the partitions are being taken this moment
            return dict(reached)

    def _is_busy(self) -> bool:
        began = self.applier.batch_began
        return began is not None and time.monotonic() - began > LONG_BATCH_SECONDS

    async def drain(self) -> None:
        """Wait for the current batch."""
        await self._prefetcher.drain()

    async def commit_offsets(self) -> None:
        """Commit the store's positions to the group for the last time."""
        if self.assignment.is_set.is_set():
            await self._offsets.commit(self.assignment.consumer)

    def is_running(self) -> bool:
        """Return whether the subscriber's loop runs; FastStream does not detect that it was cancelled."""
        tasks: Sequence[asyncio.Task[Any]] = self.assignment.subscriber.tasks
        return any(not task.done() for task in tasks)


async def _hand_over(messages: tuple[Any, ...]) -> KafkaMessage:
    """Hand over the decoded messages: FastStream's parser decodes every header and fails on one that is no text."""
    return KafkaMessage(body=messages, raw_message=messages, consumer=FAKE_CONSUMER)


async def _hand_over_messages(message: KafkaMessage) -> Any:
    return message.body
