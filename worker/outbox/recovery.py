"""Recovery: settle what was published, then continue with a new producer.

After a crash, a timeout, a fenced producer or the return of an older store, the output topics alone show what is
published. A new producer fences the one before it and ends its transaction, so that the topics no longer change. The
ids found on them are kept in the store as receipts; rows without a receipt are still to be published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet

import structlog

from worker.failpoints import reach
from worker.messages.record import TopicPartition
from worker.outbox.backlog import MESSAGES_A_TRANSACTION
from worker.outbox.output_topics import OutputTopics
from worker.outbox.publisher import Publisher
from worker.outbox.receipts import keep_receipts
from worker.settings import CutOutputs, Settings
from worker.stores.port import OutboxStore
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)


class Recovery:
    """Recovery of the relay's state, and owner of its only producer.

    `is_settled` is set while the producer may be used.
    """

    def __init__(
        self, settings: Settings, store: OutboxStore, thread: StoreThread, outputs: OutputTopics, *, is_shared: bool
    ) -> None:
        self._settings = settings
        self._store = store
        self._thread = thread
        self._outputs = outputs
        self._is_shared = is_shared
        self._attempted_seq = store.last_seq  # no row after it was ever sent
        self._publisher: Publisher | None = None
        self.is_settled = asyncio.Event()

    async def run(self, cause: str) -> Publisher:
        """Fence the previous producer, keep the receipts of published records, and return the new producer.

        Raises `PositionRefused` if receipts are lost, and `CannotPublish`, with nothing written, if a requirement of
        publishing is not met.
        """
        await self.close()
        partitions = await self._outputs.require_publishable()
        self._publisher = publisher = self._outputs.publisher(partitions)
        await publisher.start()
        reach("predecessor-fenced")
        await self._outputs.read_sizes(partitions)
        receipts = await keep_receipts(self._outputs, partitions, self._settings, self._store, self._thread)
        if self._is_shared:  # another worker may have sent any row; a promoted standby may have fewer rows than before
            self._attempted_seq = await self._thread.call(lambda: self._store.last_seq)
        if receipts.cut and self._settings.safety.cut_outputs is CutOutputs.PUBLISHED:
            await self._count_as_published(publisher, receipts.cut)
        log.info("recovered", cause=str(cause), receipts_found=receipts.found)
        self.is_settled.set()
        return publisher

    def note_attempt(self, last_seq: int) -> None:
        """Record that rows up to this one are about to be sent: after a failure they may be published."""
        self._attempted_seq = max(self._attempted_seq, last_seq)

    async def close(self) -> None:
        """Stop the producer. Another recovery is required before publishing."""
        self.is_settled.clear()
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.stop()

    async def _count_as_published(self, publisher: Publisher, cut: AbstractSet[TopicPartition]) -> None:
        """Count every row that may have been sent to these partitions as published."""
        seq = await self._thread.call(lambda: self._store.published_seq)
        while seq < self._attempted_seq:
            pending = await self._thread.call(self._store.pending, seq, MESSAGES_A_TRANSACTION, self._attempted_seq)
            ids = [
                message.id
                for partition, those in publisher.by_partition(pending.messages).items()
                if partition in cut
                for message in those
            ]
            await self._thread.call(self._store.keep_receipts, ids, {})
            seq = pending.last_seq
