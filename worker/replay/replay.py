"""A replay: on the store itself, or on a copy for a dry run."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from worker import preflight
from worker.errors import Exit, Refusal
from worker.kafka.log_reader import LogReading, committed_reader
from worker.messages.record import Record
from worker.processing.dry_run import CountingProcessor, SeenWork
from worker.replay.interruption import Interruption
from worker.replay.publishing import Publishing, publishing, read_receipts
from worker.replay.report import Emit, Report
from worker.replay.selection import Range, Selection, ranges
from worker.settings import Settings
from worker.stores.changes import Committed
from worker.stores.errors import StoreConflictError, StoreError
from worker.stores.port import Store
from worker.stores.thread import StoreThread

COLLECT_EVERY_SECONDS = 30.0
RETRY_FOR_SECONDS = 60.0
RETRY_PAUSE_SECONDS = 10.0
Progress = Callable[[int, int], None]


class Replay:
    """A replay of selected records, batch by batch. `report` covers the batches committed so far."""

    def __init__(
        self, settings: Settings, selection: Selection, path: CountingProcessor, store: Store, report: Report
    ) -> None:
        self._settings = settings
        self._selection = selection
        self._path = path
        self._store = store
        self._thread = StoreThread()
        self._publishing: Publishing | None = None
        self._is_out = False
        self._collected = time.monotonic()
        self.report = report

    async def run(self, progress: Progress, interruption: Interruption) -> None:
        """Replay the selected records, and publish the results if the report's `emit` requires it.

        An interruption ends it between two batches. `progress` gets the number of offsets done and the total.
        Raises `Refusal`.
        """
        began = time.monotonic()
        try:
            with _collected_between_batches(), interruption.cancelling():
                await self._run(progress)
        except asyncio.CancelledError:
            self.report.interrupted = True
        except Refusal:
            self.report.interrupted = True
            raise
        except StoreError as error:
            self.report.interrupted = True
            kept = "Committed batches are kept, and another replay does not repeat them"
            raise Refusal(
                f"{error}. {kept if self.report.executed else 'Nothing was changed'}", Exit.UNREACHABLE
            ) from error
        finally:
            await self._finish_report()
            self._thread.close()
            self.report.seconds = round(time.monotonic() - began, 3)

    async def _run(self, progress: Progress) -> None:
        settings, report = self._settings, self.report
        await preflight.require_topics(settings)
        report.lost_arr_before = report.lost_arr_after = await self._thread.call(self._store.lost_arr)
        if report.executed and report.emit is Emit.ALL:
            async with publishing(settings, self._store, self._thread) as self._publishing:
                await self._read(progress)
                await self._publishing.finish()
                self._is_out = True
        else:
            await read_receipts(settings, self._store, self._thread)
            await self._read(progress)

    async def _read(self, progress: Progress) -> None:
        self.report.waiting_before = await self._thread.call(self._unpublished)
        async with committed_reader(self._settings.kafka) as reader:
            self.report.ranges = await ranges(self._settings, reader, self._selection, self._store.positions())
            done, size = 0, sum(each.end - each.start for each in self.report.ranges)
            for each in self.report.ranges:  # one after the other, so that a second run decides in the same order
                async for offset in self._replay_range(reader, each):
                    progress(done + offset - each.start, size)
                done += each.end - each.start

    async def _replay_range(self, reader: AIOKafkaConsumer, selected: Range) -> AsyncIterator[int]:
        """Replay a part of a partition. Yields the next offset after each fetch that has been applied."""
        partition = TopicPartition(selected.topic, selected.partition)
        reading = LogReading(reader, {partition: selected.start}, {partition: selected.end})
        async for part in reading.parts():
            for records in part.values():
                await self._apply_all(records)
            yield reading.positions[partition]

    async def _apply_all(self, records: Sequence[Record]) -> None:
        at_once = self._settings.batch.max_records
        for begin in range(0, len(records), at_once):
            # A batch that has begun is finished and counted on the store's thread, even if this task is cancelled.
            committed = await self._until_done(records[begin : begin + at_once])
            if self._publishing is not None:
                self._publishing.offer(committed)

    async def _until_done(self, records: Sequence[Record]) -> Committed:
        """Apply records. If a concurrent worker has changed their customers, they are decided again."""
        async for attempt in AsyncRetrying(
            wait=wait_random_exponential(multiplier=0.2, max=RETRY_PAUSE_SECONDS),
            stop=stop_after_delay(RETRY_FOR_SECONDS),
            retry=retry_if_exception_type(StoreConflictError),
            reraise=True,
        ):
            with attempt:
                committed = await self._thread.call(self._apply, records)
        return committed

    def _apply(self, records: Sequence[Record]) -> Committed:
        """Apply a unit of work, add it to the report, and do due maintenance. Runs on the store's thread."""
        read = len(records)
        customer_id, path = self._selection.customer_id, self._path
        if customer_id is not None:
            records = [record for record in records if path.is_about(record, customer_id)]
        with SeenWork(self._store) as work:
            work.changes.is_silent = self.report.emit is Emit.NONE
            path.apply(path.read(records), work)
            committed = work.commit()
        self.report.read += read
        self.report.taken += len(records)
        self.report.add_decisions(self._path.decided, self._path.released)
        self.report.add_changes(work.changes)
        events = sum(message.topic == self._settings.topics.churned for message in committed.messages)
        self.report.events += events
        self.report.dead_letters += len(committed.messages) - events
        self._store.maintain()
        if time.monotonic() - self._collected > COLLECT_EVERY_SECONDS:
            gc.collect()
            self._collected = time.monotonic()
        return committed

    def _unpublished(self) -> int:
        return self._store.unpublished

    async def _finish_report(self) -> None:
        try:
            self.report.lost_arr_after = await self._thread.call(self._store.lost_arr)
            if self.report.executed:
                # Rows that concurrent workers have added are not part of this replay.
                self.report.waiting_after = 0 if self._is_out else await self._thread.call(self._unpublished)
        except StoreError:
            self.report.interrupted = True


@contextmanager
def _collected_between_batches() -> Iterator[None]:
    """Disable cyclic garbage collection, which would traverse the many live objects of a batch repeatedly."""
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()
