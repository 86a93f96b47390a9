"""The relay: what the outbox holds goes to its topics, each record once for every reader of committed records.

Records are published in Kafka transactions under one `transactional.id`, then marked in the store. Whatever may have
gone wrong in between (a crash, a timeout, a fenced producer, an older store), the output topics know what is out:
they are the receipt, and `recover` reads it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from worker import kafka, raw_headers
from worker.failpoints import reach
from worker.outgoing import DEAD_LETTER_PREFIX, Outgoing, dead_letter_id
from worker.partitioner import partitions_for
from worker.positions import PositionRefused
from worker.records import Record
from worker.records import TopicPartition as Place
from worker.settings import Settings
from worker.stopping import Refusal, Stop
from worker.store_thread import StoreThread
from worker.unit_of_work import PendingBatch, Store, StoreError

log = structlog.get_logger(__name__)

MESSAGES_A_TRANSACTION = 20_000
PUBLISH_SECONDS = 20.0  # shorter than the transaction's own timeout, so that the doubt is ours to settle
CLOSE_SECONDS = 5.0
OFFERS_KEPT = 4  # batches, each of bounded size; what is not kept is read from the store
RECEIPTS_AT_ONCE = 50_000
READ_STALLED_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 10.0
ZSTD = 4  # the codec's number in a record batch


class ReceiptUnreadable(Exception):
    """The output topics cannot be read to their end for now."""


class Relay:
    """Publishes the outbox of one store, in order."""

    def __init__(self, settings: Settings, store: Store, thread: StoreThread, stop: Stop) -> None:
        self._settings = settings
        self._store = store
        self._thread = thread
        self._stop = stop
        self._producer: AIOKafkaProducer | None = None
        self._partition_counts: dict[str, int] = {}
        self._offered: deque[PendingBatch] = deque()
        self._more = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._behind_since: float | None = None
        self.recovered = asyncio.Event()

    def offer(self, committed: PendingBatch) -> None:
        """Take what a batch committed, so that it need not be read from the store again."""
        if committed.last_seq == committed.after_seq:
            return
        if self._offered and self._offered[-1].last_seq != committed.after_seq:
            self._offered.clear()
        self._offered.append(committed)
        if len(self._offered) > OFFERS_KEPT:
            self._offered.popleft()
        self._caught_up.clear()
        self._behind_since = self._behind_since or time.monotonic()
        self._more.set()

    async def caught_up(self) -> None:
        """Until everything the outbox holds is published and marked."""
        await self._caught_up.wait()

    @property
    def behind_seconds(self) -> float:
        """For how long something has been waiting to be published without anything being published."""
        return 0.0 if self._behind_since is None else time.monotonic() - self._behind_since

    async def run(self) -> None:
        """Publish until cancelled. Failures are settled by `recover`, after a pause that grows with each in a row."""
        failures = 0
        cause = "start"
        while True:
            try:
                await self.recover(cause)
                while True:
                    await self._publish_all()
                    failures = 0
                    self._behind_since = None
                    self._caught_up.set()
                    await self._more.wait()
                    self._more.clear()
            except PositionRefused as refused:
                self._stop.for_safety(str(refused))
                return
            except (KafkaError, OSError, TimeoutError, StoreError, ReceiptUnreadable, Refusal) as error:
                cause = type(error).__name__
                pause = min(LONGEST_PAUSE_SECONDS, 0.2 * 2**failures) * random.uniform(0.5, 1.0)  # noqa: S311
                failures += 1
                log.warning(
                    "publishing failed, recovering", error=repr(error), failures=failures, pause_s=round(pause, 1)
                )
                await asyncio.sleep(pause)

    async def close(self) -> None:
        """Let go of the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                await asyncio.wait_for(producer.stop(), CLOSE_SECONDS)
            except (TimeoutError, KafkaError) as error:  # it is finished either way; a successor fences it
                log.debug("the producer did not stop in time", error=repr(error))

    async def recover(self, cause: str) -> None:
        """Settle what is published: fence and end whatever came before, then read the receipt.

        Raises `PositionRefused` where part of the receipt is gone.
        """
        await self.close()
        self.recovered.clear()
        producer = kafka.relay_producer(self._settings.kafka)
        self._producer = producer
        await asyncio.wait_for(producer.start(), PUBLISH_SECONDS)
        found = await self._read_receipts()
        self._offered.clear()  # some of it may have been found published
        log.info("recovered", cause=cause, receipts_found=found)
        self.recovered.set()

    async def _read_receipts(self) -> int:
        known = await self._thread.call(self._store.output_ends)
        reader = kafka.committed_reader(self._settings.kafka, max_partition_fetch_bytes=4 * 1024 * 1024)
        try:
            await asyncio.wait_for(reader.start(), PUBLISH_SECONDS)
            places = await self._output_partitions()
            begins = await reader.beginning_offsets(places)
            ends = await self._log_ends(places)
            unread = {}
            for place in places:
                start = self._receipt_start(place, known.get(_plain(place)), begins[place], ends[place])
                if start < ends[place]:
                    unread[place] = start
            reach("in-recover")
            return await self._keep_receipts(reader, unread, ends) if unread else 0
        finally:
            await reader.stop()

    async def _output_partitions(self) -> list[TopicPartition]:
        async with kafka.admin_client(self._settings.kafka) as admin:
            self._partition_counts = await kafka.partition_counts(admin, self._settings.topics.outputs)
        if missing := set(self._settings.topics.outputs) - set(self._partition_counts):
            raise ReceiptUnreadable(f"these topics do not exist: {', '.join(sorted(missing))}")
        return [TopicPartition(topic, n) for topic, count in self._partition_counts.items() for n in range(count)]

    async def _log_ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where each log ends, uncommitted records included: a reader of committed ones is told less."""
        probe = AIOKafkaConsumer(**kafka.client_options(self._settings.kafka), enable_auto_commit=False)
        try:
            await asyncio.wait_for(probe.start(), PUBLISH_SECONDS)
            return dict(await probe.end_offsets(places))
        finally:
            await probe.stop()

    def _receipt_start(self, place: TopicPartition, known: int | None, begin: int, end: int) -> int:
        start = known or 0
        allowed = self._settings.safety.allow_cut_outputs
        name = f"{place.topic}/{place.partition}"
        remedy = (
            "To count what is missing as published and go on, set CUSTOMER_WORKER_SAFETY__ALLOW_CUT_OUTPUTS=true; "
            "to keep this from happening, give the topic no retention (customer-worker check)"
        )
        if start < begin and not allowed:
            raise PositionRefused(
                f"{name} begins at offset {begin}, but what is published on it is known up to {start} only: events "
                f"between may be missing from the receipt and would be published again. {remedy}"
            )
        if start > end and not allowed:
            raise PositionRefused(
                f"{name} ends at offset {end}, but the worker has published on it up to {start}: the topic was "
                f"recreated or cut short. {remedy}"
            )
        return max(start, begin) if start <= end else end

    async def _keep_receipts(
        self, reader: AIOKafkaConsumer, unread: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> int:
        reader.assign(list(unread))
        for place, start in unread.items():
            reader.seek(place, start)
        left = set(unread)
        found = 0
        ids: list[str] = []
        while left:
            batch = await self._read_some(reader, left)
            ids += [receipt for records in batch.values() for record in records if (receipt := self._receipt(record))]
            positions = {place: min(await reader.position(place), ends[place]) for place in unread}
            left = {place for place, position in positions.items() if position < ends[place]}
            if len(ids) >= RECEIPTS_AT_ONCE or not left:
                reached = {_plain(place): position for place, position in positions.items()}
                await self._thread.call(self._store.keep_receipts, ids, reached)
                found += len(ids)
                ids = []
        return found

    async def _read_some(
        self, reader: AIOKafkaConsumer, left: set[TopicPartition]
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        before = {place: await reader.position(place) for place in left}
        try:
            async with asyncio.timeout(READ_STALLED_SECONDS):
                while True:
                    batch: Mapping[TopicPartition, Sequence[Record]] = await reader.getmany(
                        *left, timeout_ms=500, max_records=RECEIPTS_AT_ONCE
                    )
                    # Control records and aborted ones move the position without being returned.
                    if batch or any([await reader.position(place) > before[place] for place in left]):
                        return batch
        except TimeoutError:
            names = ", ".join(f"{place.topic}/{place.partition}" for place in sorted(left))
            raise ReceiptUnreadable(
                f"{names} could not be read to the end within {READ_STALLED_SECONDS:.0f} s: a transaction of another "
                "producer may be open there (kafka-transactions.sh find-hanging)"
            ) from None

    def _receipt(self, record: Record) -> str | None:
        """The id of a record on an output topic; None for what the worker did not put there."""
        headers = dict(record.headers)
        if record.topic == self._settings.topics.churned:
            names = ["ce_id"]
        else:
            names = [DEAD_LETTER_PREFIX + name for name in ("topic", "partition", "offset", "timestamp")]
        told = [(headers.get(name) or b"").decode(errors="replace") for name in names]
        if not all(told):
            return None
        return told[0] if len(told) == 1 else dead_letter_id(*told)

    async def _publish_all(self) -> None:
        """Publish until nothing is pending. What is out is marked while the next is being sent."""
        marking: asyncio.Task[None] | None = None
        published_seq = await self._thread.call(lambda: self._store.published_seq)
        try:
            while (pending := await self._next(published_seq)).last_seq > published_seq:
                ends = await self._publish(pending.messages) if pending.messages else {}
                if marking is not None:
                    await marking
                marking = asyncio.create_task(self._thread.call(self._store.mark_published, pending.last_seq, ends))
                published_seq = pending.last_seq
                self._behind_since = time.monotonic()
        finally:
            if marking is not None:
                await marking

    async def _next(self, published_seq: int) -> PendingBatch:
        """What comes after `published_seq`: as it was offered, else from the store."""
        while self._offered and self._offered[0].after_seq < published_seq:
            self._offered.popleft()
        if self._offered and self._offered[0].after_seq == published_seq:
            return self._offered.popleft()
        return await self._thread.call(self._store.pending, published_seq, MESSAGES_A_TRANSACTION)

    async def _publish(self, messages: Sequence[Outgoing]) -> dict[Place, int]:
        """Publish the messages in one transaction; the ends of the partitions they went to, after them."""
        producer = self._producer
        assert producer is not None  # noqa: S101 - `recover` made one
        async with asyncio.timeout(PUBLISH_SECONDS):
            await producer.begin_transaction()
            sent = [
                (await producer.send_batch(batch, topic, partition=partition), batch.record_count())
                for topic, partition, batch in self._batches(producer, messages)
            ]
            # The commit would not notice a batch that failed: each is awaited first.
            written = [(await acknowledged, count) for acknowledged, count in sent]
            reach("in-transaction")
            await producer.commit_transaction()
        reach("after-publish")
        ends: dict[Place, int] = {}
        for metadata, count in written:
            if metadata.offset >= 0:  # a batch that was sent twice and taken once has no offset: its end stays behind
                ends[metadata.topic, metadata.partition] = metadata.offset + count
        return ends

    def _batches(self, producer: AIOKafkaProducer, messages: Sequence[Outgoing]) -> list[tuple[str, int, BatchBuilder]]:
        """The messages as batches to be sent, in order within each partition."""
        batches = []
        for (topic, partition), those in self._by_partition(messages).items():
            batch = producer.create_batch()
            for message in those:
                if alone := _batch_alone(message):
                    batches += [(topic, partition, batch), (topic, partition, alone)]
                    batch = producer.create_batch()
                elif not _append(batch, message):
                    batches.append((topic, partition, batch))
                    batch = producer.create_batch()
                    _append(batch, message)
            batches.append((topic, partition, batch))
        return [entry for entry in batches if entry[2].record_count()]

    def _by_partition(self, messages: Sequence[Outgoing]) -> dict[Place, list[Outgoing]]:
        keyed = [message.key or b"" for message in messages if message.partition is None]
        by_key = iter(partitions_for(keyed, self._partition_counts[self._settings.topics.churned]))
        grouped: dict[Place, list[Outgoing]] = defaultdict(list)
        for message in messages:
            if message.partition is None:
                partition = next(by_key)
            else:
                partition = message.partition % self._partition_counts[message.topic]
            grouped[message.topic, partition].append(message)
        return grouped


def _batch_alone(message: Outgoing) -> BatchBuilder | None:
    """A batch for a message that the usual ones cannot hold; None for the usual message."""
    if not raw_headers.are_plain(message.headers):
        batch = raw_headers.EscapedBatchBuilder(kafka.PUBLISH_BATCH_BYTES)
    elif len(message.value or b"") > kafka.PUBLISH_BATCH_BYTES // 2:
        # What came compressed may be far larger than a topic takes as it is.
        batch = BatchBuilder(kafka.PUBLISH_BATCH_BYTES, ZSTD, is_transactional=1)
    else:
        return None
    _append(batch, message)
    return batch


def _append(batch: BatchBuilder, message: Outgoing) -> bool:
    return batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers) is not None


def _plain(place: TopicPartition) -> Place:
    return place.topic, place.partition
