"""The relay: what the outbox holds goes to its topics, each record once for every reader of committed records.

Records are published in Kafka transactions under one `transactional.id`, then marked in the store. Whatever may have
gone wrong in between (a crash, a timeout, a fenced producer, an older store), the output topics know what is out:
they are the receipt, and `recover` reads it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, RequestTimedOutError

from worker.errors import PositionRefused, Refusal, Stop
from worker.failpoints import reach
from worker.kafka.batch_sizes import BatchSizes
from worker.messages.outgoing import Envelope, Outgoing
from worker.messages.record import TopicPartition
from worker.metrics.counters import Cause, Metrics
from worker.outbox.leadership import Leadership
from worker.outbox.publish_errors import CannotPublish, Kind, in_words, kind_of, pause_seconds
from worker.outbox.publish_requirements import require_publishable
from worker.outbox.publisher import Publisher
from worker.outbox.receipts import ReceiptUnreadable, keep_receipts
from worker.settings import CutOutputs, Settings
from worker.stores.port import NewerStoreError, PendingBatch, Store, StoreDamagedError, StoreError
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

MESSAGES_A_TRANSACTION = 20_000
OFFERS_KEPT = 4  # batches, each of bounded size; what is not kept is read from the store
LOOK_EVERY_SECONDS = 0.1  # for what other workers have committed
MARK_EVERY_SECONDS = 0.2
RECOVERABLE = (KafkaError, OSError, TimeoutError, StoreError, ReceiptUnreadable, Refusal, CannotPublish)

_CAUSES = {
    Kind.FENCED: Cause.FENCED,
    Kind.EXPIRED: Cause.EXPIRED,
    Kind.AUTHORIZATION: Cause.AUTHORIZATION,
    Kind.CONFIGURATION: Cause.CONFIGURATION,
}


class Relay:
    """Publishes the outbox of one store, in order."""

    def __init__(
        self, settings: Settings, store: Store, thread: StoreThread, stop: Stop, metrics: Metrics | None = None
    ) -> None:
        self._settings = settings
        self._store = store
        self._thread = thread
        self._stop = stop
        self._metrics = metrics or Metrics(settings.topics)
        self._is_shared = store.exclusive_id is None
        self._leadership = Leadership(store, stop)
        self._mark_every = 0.0 if self._is_shared else MARK_EVERY_SECONDS  # the wait would delay what others commit
        self._publisher: Publisher | None = None
        self._sizes = BatchSizes()
        self._offered: deque[PendingBatch] = deque()
        self._settled_seq = 0  # the outbox's last row when the receipt was read
        self._known_seq = 0  # and now
        self._is_to_look = False  # whether there may be more than that
        self._attempted_seq = store.last_seq  # nothing after it was ever sent
        self._more = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._behind_since: float | None = None
        self.recovered = asyncio.Event()
        self.is_running = False
        self._failures = 0  # in a row
        self.failure: str | None = None
        """Why the last attempt to publish failed; None once one has succeeded."""

    def offer(self, committed: PendingBatch) -> None:
        """Take what a batch committed, so that it need not be read from the store again."""
        if committed.last_seq == committed.after_seq:
            if committed.messages:
                self._wake()
            return
        self._known_seq = max(self._known_seq, committed.last_seq)
        if self._offered and self._offered[-1].last_seq != committed.after_seq:
            self._offered.clear()
        if committed.after_seq >= self._settled_seq:  # of earlier ones the receipt may have told more since
            self._offered.append(committed)
        if len(self._offered) > OFFERS_KEPT:
            self._offered.popleft()
        self._wake()

    def look_again(self) -> None:
        """Publish what the store holds, offered or not: a commit that failed can be durable all the same."""
        self._is_to_look = True
        self._wake()

    def _wake(self) -> None:
        if self.is_standby:
            return
        self._caught_up.clear()
        self._behind_since = self._behind_since or time.monotonic()
        self._more.set()

    async def caught_up(self) -> None:
        """Until everything the outbox holds is published and marked."""
        await self._caught_up.wait()

    @property
    def is_standby(self) -> bool:
        """Whether another worker publishes, and this one is there to take over."""
        return not self._leadership.is_held

    @property
    def behind_seconds(self) -> float:
        """For how long something has been waiting to be published without anything being published."""
        return 0.0 if self._behind_since is None else time.monotonic() - self._behind_since

    async def run(self) -> None:
        """Publish until cancelled, while this worker is the one who publishes."""
        self.is_running = True
        try:
            await (self._publish_in_turns() if self._is_shared else self._publish())
        finally:
            self.is_running = False

    async def _publish_in_turns(self) -> None:
        while not self._stop.is_asked:
            self._caught_up.set()  # what is left is for another
            await self._leadership.gained()
            log.info("this worker publishes from now on")
            self._caught_up.clear()
            await self._publish_while_leading()

    async def _publish_while_leading(self) -> None:
        """Publish until another worker does, or this one has to stop; then let go of the producer at once."""
        publishing = asyncio.create_task(self._publish())
        deposed = asyncio.create_task(self._leadership.lost())
        try:
            await asyncio.wait({publishing, deposed}, return_when=asyncio.FIRST_COMPLETED)
            if publishing.done():
                publishing.result()
                return
        finally:
            for task in (publishing, deposed):
                task.cancel()
            await asyncio.wait({publishing, deposed})
        log.warning("this worker publishes no longer: another does, or the store is away")
        await self.close()
        self.recovered.clear()
        self._behind_since = None
        self._set_failure(None)

    async def _publish(self) -> None:
        """Publish until cancelled. Failures are settled by `recover`, after a pause that grows with each in a row."""
        self._failures = 0
        cause = Cause.START
        while True:
            try:
                self._metrics.recovering(cause)
                await self.recover(cause)
                while True:
                    await self._publish_all()
                    self._succeeded()
                    if not self._more.is_set():
                        self._behind_since = None
                        self._caught_up.set()
                    await self._wait_for_more()
                    self._more.clear()
            except (PositionRefused, StoreDamagedError, NewerStoreError) as refused:
                self._stop.fail_stop(str(refused))
                return
            except RECOVERABLE as error:
                cause = _cause(error)
                self._sizes.note_failure(error)
                self._failures += 1
                await self._handle_failure(error)

    async def _handle_failure(self, error: Exception) -> None:
        """Log and show the failure, then pause. An expired id after a quiet time costs a new producer only."""
        kind, words = kind_of(error), in_words(error, self._settings.kafka)
        if kind is Kind.EXPIRED and self._failures == 1:
            log.info("producer renewed", reason=words)
            return
        self._set_failure(words)
        if self._is_shared and isinstance(error, StoreError):
            with suppress(StoreError):
                await self._thread.call(self._store.reopen)
        pause = pause_seconds(self._failures, kind) * random.uniform(0.5, 1.0)  # noqa: S311
        log.warning(
            "publishing failed, recovering",
            error=words,
            kind=str(kind),
            failures=self._failures,
            pause_s=round(pause, 1),
        )
        await asyncio.sleep(pause)

    def _succeeded(self) -> None:
        self._failures = 0
        self._set_failure(None)

    def _set_failure(self, failure: str | None) -> None:
        self.failure = failure
        self._metrics.is_publishing_failing = failure is not None

    async def _wait_for_more(self) -> None:
        """Until there is more to publish: what this worker commits, and what others do."""
        while not self._more.is_set():
            is_known = await self._more_within(LOOK_EVERY_SECONDS if self._is_shared else None)
            if not is_known and await self._thread.call(lambda: self._store.last_seq) > self._known_seq:
                self._wake()

    async def close(self) -> None:
        """Let go of the producer."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.stop()

    async def recover(self, cause: str) -> None:
        """Settle what is published: fence and end whatever came before, then read the receipt.

        Raises `PositionRefused` where part of the receipt is gone, and `CannotPublish`, with nothing written, where a
        requirement of publishing is not met.
        """
        await self.close()
        self.recovered.clear()
        partitions = await require_publishable(self._settings)
        envelope = Envelope(self._settings.events.source)
        self._publisher = Publisher(self._settings.kafka, partitions, envelope, self._sizes)
        await self._publisher.start()
        reach("predecessor-fenced")
        await self._sizes.read(self._settings.kafka, partitions)
        receipts = await keep_receipts(self._settings, self._store, self._thread, partitions)
        if self._is_shared:  # whoever published before may have sent any row
            self._attempted_seq = await self._thread.call(lambda: self._store.last_seq)
        if receipts.cut and self._settings.safety.cut_outputs is CutOutputs.PUBLISHED:
            await self._count_as_published(receipts.cut)
        self._settled_seq = self._known_seq = await self._thread.call(lambda: self._store.last_seq)
        self._offered.clear()
        log.info("recovered", cause=str(cause), receipts_found=receipts.found)
        self.recovered.set()

    async def _count_as_published(self, cut: AbstractSet[TopicPartition]) -> None:
        """Of what this worker or one before it may have sent, whatever goes to these partitions counts as published."""
        assert self._publisher is not None  # noqa: S101 - `recover` made one
        seq = await self._thread.call(lambda: self._store.published_seq)
        while seq < self._attempted_seq:
            pending = await self._thread.call(self._store.pending, seq, MESSAGES_A_TRANSACTION, self._attempted_seq)
            ids = [
                message.id
                for place, those in self._publisher.by_partition(pending.messages).items()
                if place in cut
                for message in those
            ]
            await self._thread.call(self._store.keep_receipts, ids, {})
            seq = pending.last_seq

    async def _publish_all(self) -> None:
        """Publish until nothing is pending. What is out is marked while the next is being sent, and not every time.

        A mark takes as long as a small batch, and the receipt knows what it would say.
        """
        publisher = self._publisher
        assert publisher is not None  # noqa: S101 - `recover` made one
        marking: asyncio.Task[None] | None = None
        published_seq = marked_seq = await self._thread.call(lambda: self._store.published_seq)
        self._is_to_look |= self._is_shared
        marked_at = time.monotonic()
        ends: dict[TopicPartition, int] = {}
        try:
            while True:
                pending = await self._next(published_seq)
                if pending.last_seq == published_seq:
                    if marked_seq == published_seq:
                        return
                    self._more.clear()
                    if await self._more_within(marked_at + self._mark_every - time.monotonic()):
                        continue
                else:
                    self._attempted_seq = max(self._attempted_seq, pending.last_seq)
                    ends |= await self._send(publisher, pending.messages) if pending.messages else {}
                    published_seq = pending.last_seq
                    self._behind_since = time.monotonic()
                    if time.monotonic() - marked_at < self._mark_every:
                        continue
                if marking is not None:
                    await marking
                    self._succeeded()  # a backlog may keep this loop busy for long
                marking = asyncio.create_task(self._thread.call(self._store.mark_published, published_seq, ends))
                marked_seq, marked_at, ends = published_seq, time.monotonic(), {}
        finally:
            if marking is not None:
                await marking

    async def _more_within(self, seconds: float | None) -> bool:
        """Whether something is committed before so many seconds have passed, or ever."""
        try:
            await asyncio.wait_for(self._more.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _send(self, publisher: Publisher, messages: Sequence[Outgoing]) -> dict[TopicPartition, int]:
        began = time.monotonic()
        ends = await publisher.publish(messages)
        self._metrics.published(messages, time.monotonic() - began)
        return ends

    async def _next(self, published_seq: int) -> PendingBatch:
        """What comes after `published_seq`: as it was offered, else from the store."""
        if self._is_to_look:
            self._is_to_look = False
            self._known_seq = max(self._known_seq, await self._thread.call(lambda: self._store.last_seq))
        while self._offered and self._offered[0].after_seq < published_seq:
            self._offered.popleft()
        if self._offered and self._offered[0].after_seq == published_seq:
            return self._offered.popleft()
        if published_seq == self._known_seq:
            return PendingBatch(published_seq, [], published_seq)
        return await self._thread.call(self._store.pending, published_seq, MESSAGES_A_TRANSACTION)


def _cause(error: Exception) -> Cause:
    match error:
        case TimeoutError() | KafkaTimeoutError() | RequestTimedOutError():
            return Cause.TIMEOUT
        case OSError() | KafkaConnectionError() | Refusal():
            return Cause.UNREACHABLE
        case StoreError():
            return Cause.STORE
        case ReceiptUnreadable():
            return Cause.RECEIPT
        case _:
            return _CAUSES.get(kind_of(error), Cause.KAFKA)
