"""The applier of polls to the store: batches of bounded size, retries, and garbage collection between batches."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from operator import attrgetter

import structlog
from aiokafka import TopicPartition
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_random_exponential

from worker.consumer.assignment import Assignment
from worker.consumer.offset_commits import OffsetCommits
from worker.errors import Stop
from worker.logs.exceptions import described
from worker.metrics.counters import Metrics, Stage
from worker.outbox.relay import Relay
from worker.processing.batch import BatchProcessor, BatchResult, Messages, coordinates_of_batch
from worker.processing.report import BatchReport
from worker.processing.unit_of_work import UnitOfWork
from worker.settings import Batch as BatchSettings
from worker.stores.changes import Committed
from worker.stores.errors import (
    NewerStoreError,
    NotTheOwnerError,
    StoreBehindError,
    StoreConflictError,
    StoreError,
)
from worker.stores.port import Store
from worker.stores.thread import StoreThread
from worker.tracing.spans import BatchSpan, Tracing

log = structlog.get_logger(__name__)

RETRY_FOR_SECONDS = 60.0
RETRY_PAUSE_SECONDS = 10.0
COLLECT_EVERY_SECONDS = 30.0
COLLECT_ON_A_BACKLOG_EVERY_SECONDS = 300.0
SMALL_BATCH = 1_000
_size = attrgetter("size")


class Applier:
    """Applier of polls: commits them, offers messages to the relay, and stops the worker once retries are exhausted.

    `batch_began` is None between batches, `batch_ended` when the last one ended (both of the monotonic clock);
    `is_failing` is set from a batch's first failed attempt until one succeeds. `tracing` records each batch.
    """

    def __init__(
        self,
        limits: BatchSettings,
        store: Store,
        thread: StoreThread,
        processor: BatchProcessor,
        assignment: Assignment,
        offsets: OffsetCommits,
        relay: Relay,
        stop: Stop,
        metrics: Metrics,
    ) -> None:
        self._limits = limits
        self._store = store
        self._thread = thread
        self._processor = processor
        self._assignment = assignment
        self._offsets = offsets
        self._relay = relay
        self._stop = stop
        self._metrics = metrics
        self._collected = time.monotonic()
        self.tracing = Tracing()
        self.is_failing = False
        self.batch_began: float | None = None
        self.batch_ended = 0.0
        self.last_batch: BatchReport | None = None

    async def apply(self, messages: Messages, assignment: int) -> None:
        """Apply a poll in order, if the assignment with this number is still in force.

        Once the partitions are revoked, the rest is dropped: their next owner reads it again.
        """
        if changed := self._assignment.leaders.found:
            names = ", ".join(sorted(f"{each.topic}/{each.partition}" for each in changed))
            await self._assignment.compare_again(f"{names}: another leader or connection")
            return
        async with self._assignment.batch_lock:
            for part in _split(messages, self._limits):
                if self._stop.is_asked or not self._assignment.is_current(assignment):
                    return
                self.batch_began = time.monotonic()
                with self.tracing.batch(messages[part]) as span:
                    await self._apply_until_done(messages[part], span)
                self.batch_began, self.batch_ended = None, time.monotonic()
        await self._assignment.resume_cancellations()

    async def _apply_until_done(self, messages: Messages, span: BatchSpan) -> None:
        began = time.monotonic()
        try:
            async for attempt in AsyncRetrying(
                wait=wait_random_exponential(multiplier=0.2, max=RETRY_PAUSE_SECONDS),
                stop=lambda state: self._stop.is_asked or stop_after_delay(RETRY_FOR_SECONDS)(state),
                retry=retry_if_exception(_is_retriable),
                before_sleep=self._before_retry,
                reraise=True,
            ):
                with attempt:
                    result, committed, seconds = await self._thread.call(self._apply, messages)
        except Exception as error:  # noqa: BLE001 - any error leaves the batch
            span.fail(error)
            self._leave(messages, error)
            return
        self.is_failing = False
        self._relay.offer(committed)
        if attempt.retry_state.attempt_number > 1:
            self._relay.look_again()
        for partition, offset in result.reached.items():
            self._offsets.reach(TopicPartition(*partition), offset)
        decoding = self._assignment.reading.take_seconds()
        self._metrics.applied(len(messages), result, {Stage.DECODE: decoding, **seconds})
        span.commit(result, committed.messages, attempt.retry_state.attempt_number)
        self.last_batch = _report(len(messages), result, time.monotonic() - began)
        _log_batch(result, self.last_batch)

    def _leave(self, messages: Messages, error: Exception) -> None:
        """Leave a batch uncommitted: to another worker, to the next claim of its partitions, or to the next start."""
        where = coordinates_of_batch(messages)
        match error:
            case NotTheOwnerError():
                self._disown()
                log.warning("batch left to another worker", reason=str(error))
            case StoreBehindError():
                self._disown()
                self._assignment.commits.report(error)
            case NewerStoreError():
                self._stop.fail_stop(str(error))
            case _ if self._stop.is_asked:
                log.warning("batch left for the next start", batch=where, error=described(error))
            case _:
                log.error("batch retries exhausted", batch=where, exc_info=error)
                self._stop.fail_stop(
                    f"the batch {where} failed for {RETRY_FOR_SECONDS:.0f} s: {described(error)}. Nothing was "
                    "committed; the next start retries it. Remove the cause, then start the worker"
                )

    def _disown(self) -> None:
        self.is_failing = False  # no further attempt of this worker would show that the store is well
        self._assignment.disown()

    async def _before_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, StoreConflictError):
            log.info("batch retried after conflict", reason=str(error), attempt=state.attempt_number)
            return
        self.is_failing = True
        self._metrics.batch_failed()
        description = described(error) if error else ""
        log.error("batch failed, retrying", error=description, attempt=state.attempt_number, exc_info=error)
        try:
            await self._thread.call(self._store.reopen)
        except NewerStoreError:
            raise
        except StoreError as reopening:
            log.error("store not reopened", error=str(reopening))  # noqa: TRY400 - the message is complete

    def _apply(self, messages: Messages) -> tuple[BatchResult, Committed, Mapping[Stage, float]]:
        """Commit one unit of work and run due maintenance, on the store's thread. Return seconds by stage."""
        began = time.perf_counter()
        with UnitOfWork(self._store) as work:
            result = self._processor.apply(messages, work)
            decided = time.perf_counter()
            committed = work.commit()
        done = time.perf_counter()
        self._store.maintain()
        self._collect_garbage(len(messages))
        ended = time.perf_counter()
        seconds = {
            Stage.APPLY: decided - began,
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


def _is_retriable(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, NotTheOwnerError | StoreBehindError | NewerStoreError)


def _split(messages: Messages, most: BatchSettings) -> Iterator[slice]:
    """Split a poll into batches of bounded records and bytes of values: the memory of a batch is bounded."""
    if len(messages) <= most.max_records and sum(map(_size, messages)) <= most.max_bytes:
        yield slice(len(messages))
        return
    begin = size = 0
    for index, message in enumerate(messages):
        size += message.size
        if size >= most.max_bytes or index + 1 - begin >= most.max_records:
            yield slice(begin, index + 1)
            begin, size = index + 1, 0
    if begin < len(messages):
        yield slice(begin, len(messages))


def _report(records: int, result: BatchResult, seconds: float) -> BatchReport:
    outcomes = {name: result.outcomes[name] for name in ("applied", "duplicate", "parked", "rejected")}
    return BatchReport(datetime.now(UTC), records, outcomes, result.replayed, round(seconds, 3))


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
