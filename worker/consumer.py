"""The FastStream subscriber: a poll of records becomes one committed batch, and the group's offsets mirror it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_random_exponential

from worker.assignment import Assignment
from worker.batch import BatchPath, BatchResult
from worker.offset_mirror import OffsetMirror
from worker.one_worker import OneWorkerAssignor
from worker.records import Record, coordinates
from worker.relay import Relay
from worker.settings import Settings
from worker.stopping import Stop
from worker.store import PendingBatch, Store, StoreError
from worker.store_thread import StoreThread
from worker.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

MIRROR_EVERY_SECONDS = 1.0
RETRY_FOR_SECONDS = 60.0
RETRY_PAUSE_SECONDS = 10.0
COLLECT_EVERY_SECONDS = 30.0


class Consumer:
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
        self._mirror = OffsetMirror(store)
        self._collected = 0.0
        self._applying: asyncio.Task[None] | None = None
        self.assignment = Assignment(settings, store, thread, self._mirror, stop)
        self.is_failing = False
        self.batch_began: float | None = None

    def subscribe(self, broker: KafkaBroker) -> None:
        """Register with the broker; reading begins when that starts."""
        batch = self._settings.batch
        self.assignment.subscriber = broker.subscriber(
            *self._settings.topics.inputs,
            batch=True,
            group_id=self._settings.kafka.group_id,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            listener=self.assignment,
            partition_assignment_strategy=(OneWorkerAssignor.with_store(self._store.sole_owner_of or ""),),
            max_records=batch.max_records,
            fetch_max_bytes=batch.max_bytes,
            max_partition_fetch_bytes=batch.max_bytes,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_500,
            parser=_hand_over,
            decoder=_hand_over_records,
        )
        self.assignment.subscriber(self._consume)

    async def _consume(self, records: list[Any]) -> None:
        """Start on one poll when the one before is done, so that the next is fetched meanwhile."""
        if self._applying is not None:
            await self._applying
        self._applying = asyncio.create_task(self._apply_poll(records))
        await asyncio.sleep(0)  # let it reach the store's thread before the next poll keeps this one busy

    async def _apply_poll(self, records: list[Any]) -> None:
        """One poll, whole, or not at all: the worker stops rather than pass it over."""
        try:
            async with self.assignment.in_hand:
                for part in _split(records, self._settings.batch.max_bytes):
                    # Records fetched before the positions were set are not those that come next.
                    if self._stop.is_asked or not self.assignment.is_set.is_set():
                        return
                    self.batch_began = time.monotonic()
                    await self._apply_until_done(part)
                    self.batch_began = None
            await self.assignment.release_cancellations()
        except Exception as error:
            log.exception("a poll failed outside its batch")
            self._stop.for_safety(f"a fault of the worker itself ({error!r}). Start it again; report the log")

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
        if attempt.retry_state.attempt_number > 1:
            await self._relay.look_again()
        for place, offset in {(record.topic, record.partition): record.offset for record in records}.items():
            self._mirror.reach(TopicPartition(*place), offset + 1)
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

    async def run_mirror(self) -> None:
        """Keep the group's offsets near the store's, while there is a group."""
        while True:
            await asyncio.sleep(MIRROR_EVERY_SECONDS)
            if self.assignment.is_set.is_set():
                await self._mirror.tell(self.assignment.consumer)
                await self.assignment.release_cancellations()  # the end of a backlog can be a marker, and no record

    async def drain(self) -> None:
        """Wait for the batch in hand."""
        if self._applying is not None:
            await self._applying

    async def tell_the_group(self) -> None:
        """Mirror how far the store is, for the last time."""
        if self.assignment.is_set.is_set():
            await self._mirror.tell(self.assignment.consumer)

    def is_running(self) -> bool:
        """Whether the subscriber's loop still reads; FastStream itself does not notice when it was cancelled."""
        tasks: Sequence[asyncio.Task[Any]] = self.assignment.subscriber.tasks
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
        unknown_industries=result.unknown_industries,
        seconds=round(seconds, 3),
    )
