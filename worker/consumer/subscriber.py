"""The FastStream subscriber: a poll of records becomes one committed batch, and the group's offsets mirror it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_random_exponential

from worker.consumer.assignment import Assignment
from worker.consumer.input_watch import InputWatch
from worker.consumer.joining import Joining
from worker.consumer.offset_commits import OffsetCommits
from worker.consumer.poll_monitor import Polling
from worker.consumer.prefetch import Prefetcher
from worker.consumer.single_owner_assignor import SingleOwnerAssignor
from worker.errors import Stop, internal_error
from worker.logs.exceptions import described
from worker.messages.record import Record, coordinates
from worker.metrics.counters import Metrics, Stage
from worker.outbox.relay import Relay
from worker.processing.batch import BatchProcessor, BatchResult, Messages
from worker.processing.report import BatchReport
from worker.processing.unit_of_work import UnitOfWork
from worker.settings import Batch as BatchSettings
from worker.settings import Settings
from worker.stores.port import NewerStoreError, NotTheOwnerError, PendingBatch, Store, StoreConflictError, StoreError
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

MIRROR_EVERY_SECONDS = 1.0
RETRY_FOR_SECONDS = 60.0
RETRY_PAUSE_SECONDS = 10.0
COLLECT_EVERY_SECONDS = 30.0
COLLECT_ON_A_BACKLOG_EVERY_SECONDS = 300.0
SMALL_BATCH = 1_000
LOOK_SECONDS = 1.0
LONG_BATCH_SECONDS = 5.0


class Consumer:
    """Takes batches from Kafka to the store, and stops the worker where going on could lose something."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        thread: StoreThread,
        path: BatchProcessor,
        relay: Relay,
        stop: Stop,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._store = store
        self._thread = thread
        self._path = path
        self._relay = relay
        self._stop = stop
        self._metrics = metrics
        self._offsets = OffsetCommits()
        self._collected = time.monotonic()
        self.assignment = Assignment(settings, store, thread, self._offsets, stop)
        self.joining = Joining(settings)
        self._prefetcher = Prefetcher(
            self.assignment, settings.batch.max_records, path.read, self._apply_poll, self._fail
        )
        self.polling = Polling(self.assignment)
        self.inputs = InputWatch(settings, self.assignment, self.positions, self._is_busy)
        self.is_failing = False
        self.batch_began: float | None = None
        self.batch_ended = 0.0
        self.last_batch: BatchReport | None = None

    def subscribe(self, broker: KafkaBroker) -> None:
        """Register with the broker; reading begins when that starts."""
        batch = self._settings.batch
        self.assignment.subscriber = broker.subscriber(
            *self._settings.topics.inputs,
            batch=True,
            group_id=self._settings.kafka.group_id,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            auto_offset_reset="none",  # it would pass over records that are gone: `Polling` handles such offsets
            isolation_level="read_committed",
            listener=self.assignment,
            partition_assignment_strategy=(self.assignor,),
            max_records=batch.max_records,
            fetch_max_bytes=batch.max_bytes,
            max_partition_fetch_bytes=batch.max_bytes,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_500,
            value_deserializer=self.assignment.leaders,  # `raw_headers` reads values as they are
            parser=_hand_over,
            decoder=_hand_over_records,
        )
        self.assignment.subscriber(self._consume)
        self.polling.watch(self.assignment.subscriber)

    @property
    def assignor(self) -> type[Any]:
        """The assignor with which this worker joins its group."""
        if owner := self._store.exclusive_id:
            return SingleOwnerAssignor.with_store(owner)
        # The same partition of both topics to the same worker: few customers are in the hands of two.
        return RangePartitionAssignor  # type: ignore[no-any-return]

    async def _consume(self, records: Sequence[Any]) -> None:
        """Take a poll in hand. FastStream would pass over it if this raised."""
        if self._stop.is_asked:
            await asyncio.Event().wait()  # until FastStream is stopped, too: to poll on would be in vain
        try:
            if self.assignment.is_set.is_set():  # else fetched before that: these are not the records that come next
                await self._prefetcher.submit(records)
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        log.error("a poll failed outside its batch", exc_info=error)
        self._stop.fail_stop(internal_error(error))

    async def _apply_poll(self, records: Sequence[Any], messages: Messages | None, assignment: int) -> None:
        """All of it in order, or none of what follows the partitions being taken: who gets them reads that again."""
        if changed := self.assignment.leaders.found:
            names = ", ".join(sorted(f"{place.topic}/{place.partition}" for place in changed))
            await self.assignment.look_again(f"the leader of {names} changed, or the connection to it was lost")
            return
        async with self.assignment.in_hand:
            for part in _split(records, self._settings.batch):
                if self._stop.is_asked or not self.assignment.is_still(assignment):
                    return
                self.batch_began = time.monotonic()
                await self._apply_until_done(records[part], messages and messages[part])
                self.batch_began, self.batch_ended = None, time.monotonic()
        await self.assignment.release_cancellations()

    async def _apply_until_done(self, records: Sequence[Record], messages: Messages | None) -> None:
        began = time.monotonic()
        try:
            async for attempt in AsyncRetrying(
                wait=wait_random_exponential(multiplier=0.2, max=RETRY_PAUSE_SECONDS),
                stop=lambda state: self._stop.is_asked or stop_after_delay(RETRY_FOR_SECONDS)(state),
                retry=retry_if_exception(_helps_to_try_again),
                before_sleep=self._before_retry,
                reraise=True,
            ):
                with attempt:
                    result, committed, seconds = await self._thread.call(self._apply, records, messages)
        except NotTheOwnerError as error:
            self.assignment.leave()
            log.warning("the batch in hand is left to another worker", why=str(error))
            return
        except NewerStoreError as error:
            self._stop.fail_stop(str(error))
            return
        except Exception as error:
            where = f"{coordinates(records[0])} to {coordinates(records[-1])}"
            if self._stop.is_asked:
                log.warning("the batch in hand is left for the next start", batch=where, error=described(error))
                return
            log.exception("batch failed for good", batch=where)
            self._stop.fail_stop(
                f"the batch {where} failed for {RETRY_FOR_SECONDS:.0f} s ({described(error)}). Nothing of it took "
                "effect, and it is taken again at the next start: mend the cause, then start the worker"
            )
            return
        self.is_failing = False
        self._relay.offer(committed)
        if attempt.retry_state.attempt_number > 1:
            self._relay.look_again()
        for place, offset in result.reached.items():
            self._offsets.reach(TopicPartition(*place), offset)
        self._metrics.applied(len(records), result, seconds)
        self.last_batch = _report(records, result, time.monotonic() - began)
        _log_batch(result, self.last_batch)

    async def _before_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, StoreConflictError):
            log.info("batch decided anew", why=str(error), attempt=state.attempt_number)
            return
        self.is_failing = True
        self._metrics.batch_failed()
        said = described(error) if error else ""
        log.error("batch failed, trying again", error=said, attempt=state.attempt_number, exc_info=error)
        try:
            await self._thread.call(self._store.reopen)
        except NewerStoreError:
            raise
        except StoreError as reopening:
            log.error("the store cannot be opened yet", error=str(reopening))  # noqa: TRY400 - the message says it all

    def _apply(
        self, records: Sequence[Record], messages: Messages | None
    ) -> tuple[BatchResult, PendingBatch, Mapping[Stage, float]]:
        """On the store's thread: one unit of work, and what upkeep is due after it; and how long each stage took."""
        began = time.perf_counter()
        if messages is None:
            messages = self._path.read(records)
        read = time.perf_counter()
        with UnitOfWork(self._store) as work:
            result = self._path.apply(records, work, messages)
            decided = time.perf_counter()
            committed = work.commit()
        done = time.perf_counter()
        self._store.maintain()
        self._collect_garbage(len(records))
        ended = time.perf_counter()
        seconds = {
            Stage.DECODE: read - began,
            Stage.APPLY: decided - read,
            Stage.COMMIT: done - decided,
            Stage.UPKEEP: ended - done,
        }
        return result, committed, seconds

    def _collect_garbage(self, records: int) -> None:
        # Python's own collector would walk the batch's many live objects again and again while it is being applied.
        # On a backlog even one walk takes most of a second, and there is next to nothing to find.
        due_after = COLLECT_EVERY_SECONDS if records < SMALL_BATCH else COLLECT_ON_A_BACKLOG_EVERY_SECONDS
        if gc.isenabled() or time.monotonic() - self._collected < due_after:
            return
        gc.collect()
        self._collected = time.monotonic()

    async def run_mirror(self) -> None:
        """Keep the group's offsets near the store's, while there is a group, and what the group gives this worker."""
        while True:
            await asyncio.sleep(MIRROR_EVERY_SECONDS)
            await self.assignment.take_back()
            if self.assignment.is_set.is_set() and self.inputs.group_problem is None:
                self._offsets.pass_over(await self.positions())
                await self._offsets.commit(self.assignment.consumer)
            if self.assignment.is_set.is_set():
                await self.assignment.release_cancellations()  # the end of a backlog can be a marker, and no record

    async def positions(self) -> dict[TopicPartition, int]:
        """The next offset to read of each assigned partition; markers of transactions do not count as unread."""
        if not self.assignment.is_set.is_set():
            return {}
        consumer, reached = self.assignment.consumer, self._offsets.reached
        if not self._prefetcher.is_idle or self._prefetcher.waiting:
            return dict(reached)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                # Where nothing is in hand, what lies between is no records.
                return {place: max(offset, await consumer.position(place)) for place, offset in reached.items()}
        except (IllegalStateError, TimeoutError):  # the partitions are being taken this moment
            return dict(reached)

    def _is_busy(self) -> bool:
        return self.batch_began is not None and time.monotonic() - self.batch_began > LONG_BATCH_SECONDS

    async def drain(self) -> None:
        """Wait for the batch in hand."""
        await self._prefetcher.drain()

    async def commit_offsets(self) -> None:
        """Mirror how far the store is, for the last time."""
        if self.assignment.is_set.is_set():
            await self._offsets.commit(self.assignment.consumer)

    def is_running(self) -> bool:
        """Whether the subscriber's loop still reads; FastStream itself does not notice when it was cancelled."""
        tasks: Sequence[asyncio.Task[Any]] = self.assignment.subscriber.tasks
        return any(not task.done() for task in tasks)


def _helps_to_try_again(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, NotTheOwnerError | NewerStoreError)


async def _hand_over(message: tuple[Any, ...]) -> KafkaMessage:
    """FastStream's parser decodes every header, and fails on one that is no text: hand the records over raw."""
    return KafkaMessage(body=message, raw_message=message, consumer=FAKE_CONSUMER)


async def _hand_over_records(message: KafkaMessage) -> Any:
    return message.body


def _split(records: Sequence[Record], most: BatchSettings) -> Iterator[slice]:
    """The records in parts of so many at most, and of about so many bytes of values: a batch's memory has a bound."""
    begin = size = 0
    for place, record in enumerate(records):
        size += len(record.value or b"")
        if size >= most.max_bytes or place + 1 - begin >= most.max_records:
            yield slice(begin, place + 1)
            begin, size = place + 1, 0
    if begin < len(records):
        yield slice(begin, len(records))


def _report(records: Sequence[Record], result: BatchResult, seconds: float) -> BatchReport:
    outcomes = {name: result.outcomes[name] for name in ("applied", "duplicate", "parked", "rejected")}
    return BatchReport(datetime.now(UTC), len(records), outcomes, result.replayed, round(seconds, 3))


def _log_batch(result: BatchResult, report: BatchReport) -> None:
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
        records=report.records,
        **report.outcomes,
        replayed=report.replayed,
        unknown_industries=result.unknown_industries,
        seconds=report.seconds,
    )
