"""The FastStream subscriber: a poll of records becomes one committed batch, and the group's offsets mirror it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_random_exponential

from worker import kafka
from worker.batch import BatchPath, BatchResult
from worker.one_worker import OneWorkerAssignor
from worker.positions import MIRROR, Partition, PositionRefused, starting_offset
from worker.records import Record, coordinates
from worker.relay import Relay
from worker.settings import Settings
from worker.stopping import Stop
from worker.store_thread import StoreThread
from worker.unit_of_work import PendingBatch, Store, StoreError, UnitOfWork

log = structlog.get_logger(__name__)

MIRROR_EVERY_SECONDS = 1.0
RETRY_FOR_SECONDS = 60.0
RETRY_PAUSE_SECONDS = 10.0
COLLECT_EVERY_SECONDS = 30.0


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Takes batches from Kafka to the store, and stops the worker where going on could lose something."""

    def __init__(
        self, settings: Settings, store: Store, thread: StoreThread, path: BatchPath, relay: Relay, stop: Stop
    ) -> None:
        self._settings = settings
        self._store = store
        self._thread = thread
        self._path = path
        self._relay = relay
        self._stop = stop
        self._subscriber: Any = None
        self._in_hand = asyncio.Lock()
        self._reached: dict[TopicPartition, int] = {}
        self._mirrored: dict[TopicPartition, int] = {}
        self._collected = 0.0
        self.is_assigned = asyncio.Event()
        self.is_failing = False
        self.batch_began: float | None = None

    def subscribe(self, broker: KafkaBroker) -> None:
        """Register with the broker; reading begins when that starts."""
        batch = self._settings.batch
        self._subscriber = broker.subscriber(
            *self._settings.topics.inputs,
            batch=True,
            group_id=self._settings.kafka.group_id,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            listener=self,
            partition_assignment_strategy=(OneWorkerAssignor,),
            max_records=batch.max_records,
            fetch_max_bytes=batch.max_bytes,
            max_partition_fetch_bytes=batch.max_bytes,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_500,
            parser=_hand_over,
            decoder=_hand_over_records,
        )
        self._subscriber(self._consume)

    @property
    def _kafka_consumer(self) -> AIOKafkaConsumer:
        return self._subscriber.consumer

    async def _consume(self, records: list[Any]) -> None:
        """One poll, whole. Raises nothing: FastStream would take the next batch and so pass this one over."""
        async with self._in_hand:
            for part in _split(records, self._settings.batch.max_bytes):
                # Records fetched before the positions were set are not those that come next.
                if self._stop.is_asked or not self.is_assigned.is_set():
                    return
                self.batch_began = time.monotonic()
                await self._apply_until_done(part)
                self.batch_began = None

    async def _apply_until_done(self, records: Sequence[Record]) -> None:
        began = time.monotonic()
        try:
            async for attempt in AsyncRetrying(
                wait=wait_random_exponential(multiplier=0.2, max=RETRY_PAUSE_SECONDS),
                stop=lambda state: self._stop.is_asked or stop_after_delay(RETRY_FOR_SECONDS)(state),
                retry=retry_if_exception_type(Exception),
                before_sleep=self._before_retry,
                reraise=True,
            ):
                with attempt:
                    result, committed = await self._thread.call(self._apply, records)
        except Exception as error:
            where = f"{coordinates(records[0])} to {coordinates(records[-1])}"
            if self._stop.is_asked:
                log.warning("the batch in hand is left for the next start", batch=where, error=str(error))
                return
            log.exception("batch failed for good", batch=where)
            self._stop.for_safety(
                f"the batch {where} failed for {RETRY_FOR_SECONDS:.0f} s ({error}). Nothing of it took effect, and it "
                "is taken again at the next start: mend the cause, then start the worker"
            )
            return
        self.is_failing = False
        self._relay.offer(committed)
        self._reached.update({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        _log_batch(records, result, time.monotonic() - began)

    async def _before_retry(self, state: RetryCallState) -> None:
        self.is_failing = True
        error = state.outcome.exception() if state.outcome else None
        log.error("batch failed, trying again", error=str(error), attempt=state.attempt_number, exc_info=error)
        try:
            await self._thread.call(self._store.reopen)
        except StoreError as reopening:
            log.error("the store cannot be opened yet", error=str(reopening))  # noqa: TRY400 - the message says it all

    def _apply(self, records: Sequence[Record]) -> tuple[BatchResult, PendingBatch]:
        """On the store's thread: one unit of work, and what upkeep is due after it."""
        with UnitOfWork(self._store) as work:
            result = self._path.apply(records, work)
            committed = work.commit()
        self._store.maintain()
        self._collect_garbage()
        return result, committed

    def _collect_garbage(self) -> None:
        # Python's own collector would walk the batch's many live objects again and again while it is being applied.
        if gc.isenabled() or time.monotonic() - self._collected < COLLECT_EVERY_SECONDS:
            return
        gc.collect()
        self._collected = time.monotonic()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's interface
        """Finish what is in hand before the partitions go."""
        self.is_assigned.clear()
        async with self._in_hand:
            await self.mirror_offsets()
        self._reached.clear()
        self._mirrored.clear()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Start each partition where the store left off."""
        # aiokafka fetches while this runs, from offsets that are not the store's: nothing of it may be handed over.
        self._kafka_consumer.pause(*assigned)
        try:
            await self._seek(assigned)
        except PositionRefused as refused:
            self._stop.for_safety(str(refused))
        except Exception as error:  # noqa: BLE001 - aiokafka logs and goes on, from offsets that are not the store's
            self._stop.for_safety(f"the positions of {len(assigned)} partitions could not be set: {error!r}")
        else:
            self._kafka_consumer.resume(*assigned)
            self.is_assigned.set()

    async def _seek(self, assigned: set[TopicPartition]) -> None:
        if not assigned:
            raise PositionRefused(
                f"another worker of the group {self._settings.kafka.group_id} has all partitions, and a DuckDB "
                "store belongs to one worker. Stop the other one first, or give this one a group of its own "
                "(CUSTOMER_WORKER_KAFKA__GROUP_ID); many workers in one group need PostgreSQL"
            )
        consumer = self._kafka_consumer
        stored = await self._thread.call(self._store.positions)
        async with kafka.admin_client(self._settings.kafka) as admin:
            committed = await kafka.group_offsets(admin, self._settings.kafka.group_id, assigned)
        begins = await consumer.beginning_offsets(assigned)
        ends = await consumer.end_offsets(assigned)
        safety = self._settings.safety
        for place in sorted(assigned):
            instruction = committed.get(place)
            partition = Partition(
                name=f"{place.topic}/{place.partition}",
                stored=stored.get((place.topic, place.partition)),
                committed=instruction.offset if instruction else None,
                is_mirror=instruction is not None and instruction.metadata == MIRROR,
                begin=begins[place],
                end=ends[place],
            )
            offset = starting_offset(
                partition,
                allow_skip_forward=safety.allow_skip_forward,
                allow_lost_records=safety.allow_lost_records,
            )
            if partition.stored is not None and partition.stored > partition.end:
                await self._thread.call(self._store.forget_position, (place.topic, place.partition), offset)
            consumer.seek(place, offset)
            self._reached[place] = offset
            if offset != (partition.stored or 0):
                log.info(
                    "starting elsewhere than the store",
                    partition=partition.name,
                    offset=offset,
                    stored=partition.stored,
                )

    async def run_mirror(self) -> None:
        """Keep the group's offsets near the store's, for tools that show lag."""
        while True:
            await asyncio.sleep(MIRROR_EVERY_SECONDS)
            await self.mirror_offsets()

    async def mirror_offsets(self) -> None:
        """Commit how far the store is. A failure is logged: nothing depends on it."""
        reached = {place: offset for place, offset in self._reached.items() if self._mirrored.get(place) != offset}
        if not reached:
            return
        stored = self._store.positions()
        offsets = {
            # While an operator's rewind is being read, its offsets stay an instruction: a restart goes on with it.
            place: (offset, MIRROR if offset == stored.get((place.topic, place.partition)) else "")
            for place, offset in reached.items()
        }
        try:
            await self._kafka_consumer.commit(offsets)
        except (KafkaError, AttributeError) as error:  # no consumer any more: it is being stopped
            log.debug("offsets not mirrored", error=repr(error))
        else:
            self._mirrored.update(reached)

    async def drain(self) -> None:
        """Wait for the batch in hand."""
        async with self._in_hand:
            pass

    def is_running(self) -> bool:
        """Whether the subscriber's loop still reads; FastStream itself does not notice when it was cancelled."""
        tasks: Sequence[asyncio.Task[Any]] = self._subscriber.tasks
        return any(not task.done() for task in tasks)


async def _hand_over(message: tuple[Any, ...]) -> KafkaMessage:
    """FastStream's parser decodes every header, and fails on one that is no text: hand the records over raw."""
    return KafkaMessage(body=message, raw_message=message, consumer=FAKE_CONSUMER)


async def _hand_over_records(message: KafkaMessage) -> Any:
    return message.body


def _split(records: Sequence[Record], max_bytes: int) -> Iterator[Sequence[Record]]:
    """The records in parts of about `max_bytes` of values, so that a batch's memory has a bound."""
    begin = size = 0
    for place, record in enumerate(records):
        size += len(record.value or b"")
        if size >= max_bytes:
            yield records[begin : place + 1]
            begin, size = place + 1, 0
    if begin < len(records):
        yield records[begin:]


def _log_batch(records: Sequence[Record], result: BatchResult, seconds: float) -> None:
    for record, rejected in result.rejected:
        log.warning(
            "record rejected",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=rejected.reason.value,
            message=rejected.message,
        )
    log.info(
        "batch applied",
        records=len(records),
        **{name: result.outcomes[name] for name in ("applied", "duplicate", "parked", "rejected")},
        replayed=result.replayed,
        seconds=round(seconds, 3),
    )
