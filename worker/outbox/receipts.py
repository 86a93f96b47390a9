"""The output topics as the receipt: which ids are out, read from where the store last knew to the topics' end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.errors import PositionRefused
from worker.failpoints import reach
from worker.kafka import clients as kafka
from worker.kafka.log_reader import LogReading, LogStalled
from worker.messages.outgoing import DEAD_LETTER_PREFIX, churned_id, dead_letter_id
from worker.messages.record import Record
from worker.settings import CutOutputs, Settings
from worker.stores.erasure import erased_customer
from worker.stores.port import Store
from worker.stores.thread import StoreThread

RECEIPTS_AT_ONCE = 50_000
FETCH_BYTES = 4 * 1024 * 1024
_DEAD_LETTER_ID = [DEAD_LETTER_PREFIX + name for name in ("topic", "partition", "offset", "timestamp")]


class ReceiptUnreadable(Exception):
    """The output topics cannot be read to their end for now."""


class Receipts(NamedTuple):
    """How many ids were found, and which partitions have lost some."""

    found: int
    cut: AbstractSet[tuple[str, int]]


async def keep_receipts(
    settings: Settings, store: Store, thread: StoreThread, partitions: Mapping[str, int]
) -> Receipts:
    """Read what the output topics hold beyond what the store knows, and keep its ids there.

    `partitions` is how many each output topic has. Raises `PositionRefused` where part of the receipt is gone, unless
    the settings allow it, and `ReceiptUnreadable` where it cannot be read for now.
    """
    places = [TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)]
    known = await thread.call(store.output_ends)
    ends = await _log_ends(settings, places)
    reader = kafka.committed_reader(settings.kafka, max_partition_fetch_bytes=FETCH_BYTES)
    try:
        await asyncio.wait_for(reader.start(), kafka.CONNECT_SECONDS)
        begins = await reader.beginning_offsets(places)
        logs = [_Log(p, known.get((p.topic, p.partition), 0), begins[p], ends[p]) for p in places]
        cut = [log for log in logs if log.is_cut]
        if cut and settings.safety.cut_outputs is CutOutputs.REFUSE:
            raise PositionRefused(cut[0].what_is_missing())
        reach("in-recover")
        unread = {log.place: log.start for log in logs if log.start < log.end}
        found = await _Reading(settings, reader, unread, ends).keep(store, thread) if unread else 0
        return Receipts(found, frozenset((log.place.topic, log.place.partition) for log in cut))
    finally:
        await reader.stop()


async def _log_ends(settings: Settings, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """Where each log ends, uncommitted records included: a reader of committed ones is told less."""
    probe = AIOKafkaConsumer(**kafka.client_options(settings.kafka), enable_auto_commit=False)
    try:
        await asyncio.wait_for(probe.start(), kafka.CONNECT_SECONDS)
        return dict(await probe.end_offsets(places))
    finally:
        await probe.stop()


class _Log(NamedTuple):
    """An output partition: up to where it is `known`, and where its log begins and ends."""

    place: TopicPartition
    known: int
    begin: int
    end: int

    @property
    def start(self) -> int:
        return min(max(self.known, self.begin), self.end)

    @property
    def is_cut(self) -> bool:
        return not self.begin <= self.known <= self.end

    def what_is_missing(self) -> str:
        name = f"{self.place.topic}/{self.place.partition}"
        if self.known < self.begin:
            what = (
                f"{name} begins at offset {self.begin}, but what is published on it is known up to {self.known} only: "
                "records between may be missing from the receipt"
            )
        else:
            what = (
                f"{name} ends at offset {self.end}, but the worker has published on it up to {self.known}: the topic "
                "was recreated or cut short"
            )
        return (
            f"{what}. To go on, decide about what the store does not know as published and may have been on it: "
            "CUSTOMER_WORKER_SAFETY__CUT_OUTPUTS=resend sends it (again, where it was), =published counts it as "
            "published. To keep this from happening, give the topic no retention (customer-worker check)"
        )


class _Reading:
    """One reading of the output topics, from `starts` to `ends`."""

    def __init__(
        self,
        settings: Settings,
        reader: AIOKafkaConsumer,
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> None:
        self._churned_topic = settings.topics.churned
        self._log = LogReading(reader, starts, ends)

    async def keep(self, store: Store, thread: StoreThread) -> int:
        """Read to the end, and keep the ids found in the store, part by part."""
        found = 0
        ids: list[str] = []
        try:
            async for part in self._log.parts():
                for records in part.values():
                    ids += filter(None, map(self._id, records))
                if len(ids) >= RECEIPTS_AT_ONCE or not self._log.left:
                    reached = {(p.topic, p.partition): offset for p, offset in self._log.positions.items()}
                    await thread.call(store.keep_receipts, ids, reached)
                    found += len(ids)
                    ids = []
        except LogStalled as stalled:
            raise ReceiptUnreadable(str(stalled)) from None
        return found

    def _id(self, record: Record) -> str | None:
        """The id of a record on an output topic; None for what the worker did not put there.

        A tombstone has the id of the event that it erases: it is not to be published again.
        """
        if record.topic == self._churned_topic and record.value is None:
            customer_id = erased_customer(record.key)
            return None if customer_id is None else churned_id(customer_id)
        headers = dict(record.headers)
        names = ["ce_id"] if record.topic == self._churned_topic else _DEAD_LETTER_ID
        told = [(headers.get(name) or b"").decode(errors="replace") for name in names]
        if not all(told):
            return None
        return told[0] if len(told) == 1 else dead_letter_id(*told)
