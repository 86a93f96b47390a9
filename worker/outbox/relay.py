"""The relay: publishes the outbox, each row once for every reader of committed records.

Rows are published in Kafka transactions under one `transactional.id`, then marked in the store. After any failure
`Recovery` settles what was published before the relay continues.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import NoReturn

import structlog

from worker.errors import PositionRefused, Stop
from worker.messages.record import TopicPartition
from worker.metrics.counters import Cause, Metrics
from worker.outbox.backlog import Backlog
from worker.outbox.failures import RECOVERABLE, Failures, cause_of
from worker.outbox.leadership import Leadership
from worker.outbox.marks import Marks
from worker.outbox.output_topics import OutputTopics
from worker.outbox.publisher import Publisher
from worker.outbox.recovery import Recovery
from worker.settings import Settings
from worker.stores.changes import Committed, PendingBatch
from worker.stores.errors import NewerStoreError, StoreDamagedError, StoreError
from worker.stores.port import Store
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 0.1  # for rows that other workers have committed
MARK_EVERY_SECONDS = 0.2


class Relay:
    """Publisher of the outbox of one store, in order."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        thread: StoreThread,
        stop: Stop,
        metrics: Metrics | None = None,
        outputs: OutputTopics | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._thread = thread
        self._stop = stop
        self._metrics = metrics or Metrics(settings.topics)
        self._outputs = outputs or OutputTopics(settings)
        self._is_shared = store.is_shared
        self._leadership = Leadership(store, stop)
        self._backlog = Backlog(store, thread)
        self._recovery = Recovery(settings, store, thread, self._outputs, is_shared=store.is_shared)
        self._more = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._behind_since: float | None = None
        self.recovered = self._recovery.is_settled
        self.is_running = False
        self._failures = Failures(settings.kafka, self._metrics)

    def offer(self, committed: Committed) -> None:
        """Publish the messages of a commit, if possible without reading them from the store again."""
        if self._backlog.add(committed):
            self._wake()

    def look_again(self) -> None:
        """Publish rows that were not offered, too: a commit that failed may be durable nevertheless."""
        self._backlog.look_again()
        self._wake()

    def _wake(self) -> None:
        if self.is_standby:
            return
        self._caught_up.clear()
        self._behind_since = self._behind_since or time.monotonic()
        self._more.set()

    async def caught_up(self) -> None:
        """Wait until everything the outbox holds is published and marked."""
        await self._caught_up.wait()

    @property
    def is_standby(self) -> bool:
        """Whether this worker is a standby: another worker is the leader."""
        return not self._leadership.is_held

    @property
    def failure(self) -> str | None:
        """The failure of the last attempt to publish, in words; None once one has succeeded."""
        return self._failures.shown

    @property
    def behind_seconds(self) -> float:
        """Time for which something has been waiting to be published without anything being published."""
        return 0.0 if self._behind_since is None else time.monotonic() - self._behind_since

    async def run(self) -> None:
        """Publish until cancelled, while this worker is the leader."""
        self.is_running = True
        try:
            await (self._publish_in_turns() if self._is_shared else self._publish())
        finally:
            self.is_running = False

    async def _publish_in_turns(self) -> None:
        while not self._stop.is_asked:
            self._caught_up.set()  # the leader publishes the rest
            await self._leadership.gained()
            log.info("relay leadership gained")
            self._caught_up.clear()
            if await self._leadership.run_while_held(self._publish):
                continue
            log.warning("relay leadership lost", reason=self._leadership.lost_because)
            await self.close()  # at once: the next leader fences it
            self._behind_since = None
            self._failures.clear()

    async def _publish(self) -> None:
        """Publish until cancelled. A failure is followed by recovery, after a pause that grows with each in a row."""
        self._failures.restart_count()
        cause = Cause.START
        while True:
            try:
                self._metrics.recovering(cause)
                await self._publish_with(await self.recover(cause))
            except (PositionRefused, StoreDamagedError, NewerStoreError) as refused:
                self._stop.fail_stop(str(refused))
                return
            except RECOVERABLE as error:
                cause = cause_of(error)
                await self._recover_after(error)

    async def _publish_with(self, publisher: Publisher) -> NoReturn:
        """Publish until cancelled. Raises the first failure."""
        while True:
            await self._publish_all(publisher)
            self._failures.clear()
            if not self._more.is_set():
                self._behind_since = None
                self._caught_up.set()
            await self._wait_for_more()
            self._more.clear()

    async def recover(self, cause: str) -> Publisher:
        """Settle what is published, and return a new publisher. Raises as `Recovery.run` does."""
        publisher = await self._recovery.run(cause)
        await self._backlog.settle()
        return publisher

    async def close(self) -> None:
        """Stop the producer."""
        await self._recovery.close()

    async def _publish_all(self, publisher: Publisher) -> None:
        """Publish until nothing is pending and all of it is marked."""
        # With a shared store, a wait between marks would delay the rows of other workers.
        every = 0.0 if self._is_shared else MARK_EVERY_SECONDS
        marks = Marks(self._store, self._thread, await self._thread.call(lambda: self._store.published_seq), every)
        if self._is_shared:
            self._backlog.look_again()
        try:
            while await self._publish_next(publisher, marks):
                pass
        except asyncio.CancelledError:
            with suppress(StoreError):  # it would replace the cancellation, and a deposed leader would publish on
                await marks.finish()
            raise
        except Exception:
            await marks.finish()
            raise
        await marks.finish()

    async def _publish_next(self, publisher: Publisher, marks: Marks) -> bool:
        """Publish the next batch, and mark published rows when due; returns False once nothing is left."""
        pending = await self._backlog.after(marks.published_seq)
        if pending.last_seq != marks.published_seq:
            self._recovery.note_attempt(pending.last_seq)
            marks.published(pending.last_seq, await self._send(publisher, pending))
            self._behind_since = time.monotonic()
            is_due, at_once = marks.due_in_seconds <= 0, self._is_shared
        elif marks.is_complete:
            return False
        else:
            self._more.clear()
            is_due = at_once = not await self._more_within(marks.due_in_seconds)
        if is_due and await marks.write(at_once=at_once):
            self._failures.clear()  # a backlog may keep this loop busy for long
        return True

    async def _send(self, publisher: Publisher, pending: PendingBatch) -> dict[TopicPartition, int]:
        if not pending.messages:
            return {}
        began = time.monotonic()
        ends = await publisher.publish(pending.messages)
        self._metrics.published(pending.messages, time.monotonic() - began)
        return ends

    async def _wait_for_more(self) -> None:
        """Wait until there is more to publish, committed by this worker or by others."""
        while not self._more.is_set():
            is_known = await self._more_within(LOOK_EVERY_SECONDS if self._is_shared else None)
            if not is_known and await self._backlog.has_grown():
                self._wake()

    async def _more_within(self, seconds: float | None) -> bool:
        """Return whether something is committed before so many seconds have passed, or ever."""
        try:
            await asyncio.wait_for(self._more.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _recover_after(self, error: Exception) -> None:
        """Prepare the next recovery, and pause before it."""
        self._outputs.note_failure(error)
        pause = self._failures.add(error)
        if self._is_shared and isinstance(error, StoreError):
            with suppress(StoreError):
                await self._thread.call(self._store.reopen)
        await asyncio.sleep(pause)
