"""Receipts: the ids of the records on the output topics, from the ends recorded in the store to the topics' ends."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from aiokafka import TopicPartition

from worker.errors import PositionRefused
from worker.failpoints import reach
from worker.kafka.log_reader import LogReading, LogStalled
from worker.messages.churned_event import churned_id
from worker.messages.dead_letter import DEAD_LETTER_PREFIX, dead_letter_id
from worker.messages.record import Record
from worker.outbox.output_topics import OutputLogs, OutputTopics
from worker.settings import CutOutputs, Settings
from worker.stores.erasure import erased_customer
from worker.stores.port import OutboxStore
from worker.stores.thread import StoreThread

RECEIPTS_AT_ONCE = 50_000
_DEAD_LETTER_ID = [DEAD_LETTER_PREFIX + name for name in ("topic", "partition", "offset", "timestamp")]


class ReceiptUnreadable(Exception):
    """A failure to read the output topics to their end."""


class Receipts(NamedTuple):
    """The number of ids found, and the partitions that have lost some."""

    found: int
    cut: AbstractSet[tuple[str, int]]


async def keep_receipts(
    outputs: OutputTopics, partitions: Mapping[str, int], settings: Settings, store: OutboxStore, thread: StoreThread
) -> Receipts:
    """Read the output topics from the ends recorded in the store, and keep the ids found in the store.

    `partitions` is the number of each output topic. Raises `PositionRefused` if receipts were deleted, unless the
    settings allow it, and `ReceiptUnreadable` if they cannot be read now.
    """
    known = await thread.call(store.output_ends)
    async with outputs.logs(partitions) as logs:
        return await _keep_from(logs, known, settings, store, thread)


async def _keep_from(
    logs: OutputLogs, known: Mapping[tuple[str, int], int], settings: Settings, store: OutboxStore, thread: StoreThread
) -> Receipts:
    all_logs = [_Log(p, known.get((p.topic, p.partition), 0), begin, logs.ends[p]) for p, begin in logs.begins.items()]
    cut = [log for log in all_logs if log.is_cut]
    if cut and settings.safety.cut_outputs is CutOutputs.REFUSE:
        raise PositionRefused(cut[0].what_is_missing())
    reach("in-recover")
    starts = {log.partition: log.start for log in all_logs if log.start < log.end}
    reading = LogReading(logs.reader, starts, logs.ends)
    found = await _keep(reading, settings.topics.churned, store, thread) if starts else 0
    return Receipts(found, frozenset((log.partition.topic, log.partition.partition) for log in cut))


async def _keep(reading: LogReading, churned_topic: str, store: OutboxStore, thread: StoreThread) -> int:
    """Read to the end, and keep the ids found in the store, part by part; returns their number."""
    found = 0
    ids: list[str] = []
    try:
        async for part in reading.parts():
            for records in part.values():
                ids += filter(None, (published_id(record, churned_topic) for record in records))
            if len(ids) >= RECEIPTS_AT_ONCE or not reading.left:
                reached = {(p.topic, p.partition): offset for p, offset in reading.positions.items()}
                await thread.call(store.keep_receipts, ids, reached)
                found += len(ids)
                ids = []
    except LogStalled as stalled:
        raise ReceiptUnreadable(str(stalled)) from None
    return found


def published_id(record: Record, churned_topic: str) -> str | None:
    """Return the id of a record on an output topic; None for a record that no worker wrote.

    A tombstone has the id of the event that it erases: the event must not be published again.
    """
    if record.topic == churned_topic and record.value is None:
        customer_id = erased_customer(record.key)
        return None if customer_id is None else churned_id(customer_id)
    headers = dict(record.headers)
    names = ["ce_id"] if record.topic == churned_topic else _DEAD_LETTER_ID
    parts = [(headers.get(name) or b"").decode(errors="replace") for name in names]
    if not all(parts):
        return None
    return parts[0] if len(parts) == 1 else dead_letter_id(*parts)


class _Log(NamedTuple):
    """An output partition: the `known` end recorded in the store, and the begin and the end of its log."""

    partition: TopicPartition
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
        name = f"{self.partition.topic}/{self.partition.partition}"
        if self.known < self.begin:
            what = (
                f"{name} begins at offset {self.begin}, but its published records are known up to {self.known} only: "
                "receipts between may be missing"
            )
        else:
            what = (
                f"{name} ends at offset {self.end}, but the worker has published on it up to {self.known}: the topic "
                "was recreated or truncated"
            )
        return (
            f"{what}. To continue, decide about the rows in doubt, which are not recorded as published: "
            "CUSTOMER_WORKER_SAFETY__CUT_OUTPUTS=resend publishes them (duplicates are possible), =published counts "
            "them as published (losses are possible). To prevent this, disable retention of the topic "
            "(retention.ms=-1, retention.bytes=-1; `customer-worker check` lists differences)"
        )
