"""One replay from its first record to its last: on the store itself, or on one to try it out on."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from aiokafka import TopicPartition
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from worker import preflight
from worker.errors import Exit, Refusal
from worker.kafka.log_reader import LogReading, committed_reader
from worker.messages.record import Record
from worker.processing.dry_run import CountingProcessor, Decisions, SeenWork
from worker.replay.interruption import Interruption
from worker.replay.publishing import Publishing, publishing, read_receipts
from worker.replay.report import Emit, Report
from worker.replay.selection import Selection, ranges
from worker.settings import Settings
from worker.stores.errors import StoreConflictError, StoreError
from worker.stores.port import Changes, Committed, Store
from worker.stores.thread import StoreThread

COLLECT_EVERY_SECONDS = 30.0
RETRY_FOR_SECONDS = 60.0
RETRY_PAUSE_SECONDS = 10.0
Tell = Callable[[int, int], None]


class Replay:
    """Gives selected records to the handlers again, batch by batch. `report` holds what is committed so far."""

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

    async def run(self, tell: Tell, interruption: Interruption) -> None:
        """Replay everything that is selected, and publish what comes of it where that is asked for.

        An interruption ends it between two batches. `tell` is told how many offsets are done, of how many.
        Raises `Refusal`.
        """
        began = time.monotonic()
        try:
            with _collected_between_batches(), interruption.cancelling():
                await self._run(tell)
        except asyncio.CancelledError:
            self.report.interrupted = True
        except Refusal:
            self.report.interrupted = True
            raise
        except StoreError as error:
            self.report.interrupted = True
            kept = "What was decided before is kept; replaying again repeats none of it"
            raise Refusal(
                f"{error}. {kept if self.report.executed else 'Nothing was changed'}", Exit.UNREACHABLE
            ) from error
        finally:
            await self._finish_report()
            self._thread.close()
            self.report.seconds = round(time.monotonic() - began, 3)

    async def _run(self, tell: Tell) -> None:
        settings, report = self._settings, self.report
        await preflight.require_topics(settings)
        report.lost_arr_before = report.lost_arr_after = await self._thread.call(self._store.lost_arr)
        if report.executed and report.emit is Emit.ALL:
            async with publishing(settings, self._store, self._thread) as self._publishing:
                await self._read(tell)
                await self._publishing.finish()
                self._is_out = True
        else:
            await read_receipts(settings, self._store, self._thread)
            await self._read(tell)

    async def _read(self, tell: Tell) -> None:
        self.report.waiting_before = await self._thread.call(self._unpublished)
        async with committed_reader(self._settings.kafka) as reader:
            self.report.ranges = await ranges(self._settings, reader, self._selection, self._store.positions())
            done, size = 0, sum(each.end - each.start for each in self.report.ranges)
            for each in self.report.ranges:  # one after the other, so that a second run decides in the same order
                place = TopicPartition(each.topic, each.partition)
                reading = LogReading(reader, {place: each.start}, {place: each.end})
                async for part in reading.parts():
                    for records in part.values():
                        await self._take_all(records)
                    tell(done + reading.positions[place] - each.start, size)
                done += each.end - each.start

    async def _take_all(self, records: Sequence[Record]) -> None:
        at_once = self._settings.batch.max_records
        for begin in range(0, len(records), at_once):
            # A batch once begun is finished and counted on the store's thread, also where this is cancelled.
            committed = await self._until_done(records[begin : begin + at_once])
            if self._publishing is not None:
                self._publishing.offer(committed)

    async def _until_done(self, records: Sequence[Record]) -> Committed:
        """Apply these; what a worker beside this changed meanwhile is decided anew."""
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
        """On the store's thread: one unit of work, its place in the report, and what upkeep is due."""
        read = len(records)
        customer_id, path = self._selection.customer_id, self._path
        if customer_id is not None:
            records = [record for record in records if path.is_about(record, customer_id)]
        with SeenWork(self._store) as work:
            work.changes.is_silent = self.report.emit is Emit.NONE
            path.apply(records, work)
            committed = work.commit()
        self.report.read += read
        self.report.taken += len(records)
        self._count(work.changes, committed)
        self._store.maintain()
        if time.monotonic() - self._collected > COLLECT_EVERY_SECONDS:
            gc.collect()
            self._collected = time.monotonic()
        return committed

    def _count(self, changes: Changes, committed: Committed) -> None:
        report = self.report
        report.outcomes += _by_outcome(self._path.decided)
        report.rejected += _by_reason(self._path.decided)
        report.unparked += _by_outcome(self._path.released)
        report.unparked_rejected += _by_reason(self._path.released)
        report.add_changes(changes)
        events = sum(message.topic == self._settings.topics.churned for message in committed.messages)
        report.events += events
        report.dead_letters += len(committed.messages) - events

    def _unpublished(self) -> int:
        return self._store.unpublished

    async def _finish_report(self) -> None:
        try:
            self.report.lost_arr_after = await self._thread.call(self._store.lost_arr)
            if self.report.executed:
                # What workers beside this have added meanwhile is not this replay's to tell of.
                self.report.waiting_after = 0 if self._is_out else await self._thread.call(self._unpublished)
        except StoreError:
            self.report.interrupted = True


def _by_outcome(decisions: Decisions) -> Counter[str]:
    found: Counter[str] = Counter()
    for (outcome, _), count in decisions.items():
        found[outcome] += count
    return found


def _by_reason(decisions: Decisions) -> Counter[str]:
    return Counter({reason: count for (_, reason), count in decisions.items() if reason})


@contextmanager
def _collected_between_batches() -> Iterator[None]:
    """No cyclic garbage collection while a batch is applied: it would walk its many live objects again and again."""
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()
