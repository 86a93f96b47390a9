"""The output topics as the receipt: which ids are out, read from where the store last knew to the topics' end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker import kafka
from worker.failpoints import reach
from worker.outgoing import DEAD_LETTER_PREFIX, dead_letter_id
from worker.positions import PositionRefused
from worker.records import Record
from worker.settings import Settings
from worker.store import Store
from worker.store_thread import StoreThread

RECEIPTS_AT_ONCE = 50_000
READ_STALLED_SECONDS = 60.0
FETCH_BYTES = 4 * 1024 * 1024
_DEAD_LETTER_ID = [DEAD_LETTER_PREFIX + name for name in ("topic", "partition", "offset", "timestamp")]


class ReceiptUnreadable(Exception):
    """The output topics cannot be read to their end for now."""


async def keep_receipts(settings: Settings, store: Store, thread: StoreThread, partitions: Mapping[str, int]) -> int:
    """Read what the output topics hold beyond what the store knows, and keep its ids there; how many there were.

    `partitions` is how many each output topic has. Raises `PositionRefused` where part of the receipt is gone,
    `ReceiptUnreadable` where it cannot be read for now.
    """
    places = [TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)]
    known = await thread.call(store.output_ends)
    ends = await _log_ends(settings, places)
    reader = kafka.committed_reader(settings.kafka, max_partition_fetch_bytes=FETCH_BYTES)
    try:
        await asyncio.wait_for(reader.start(), kafka.CONNECT_SECONDS)
        begins = await reader.beginning_offsets(places)
        allowed = settings.safety.allow_cut_outputs
        starts = {p: _start(p, known.get((p.topic, p.partition), 0), begins[p], ends[p], allowed) for p in places}
        reach("in-recover")
        unread = {place: start for place, start in starts.items() if start < ends[place]}
        return await _Reading(settings, reader, unread, ends).keep(store, thread) if unread else 0
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


def _start(place: TopicPartition, known: int, begin: int, end: int, allowed: bool) -> int:  # noqa: FBT001
    name = f"{place.topic}/{place.partition}"
    remedy = (
        "To go on all the same, set CUSTOMER_WORKER_SAFETY__ALLOW_CUT_OUTPUTS=true: what was published but is not "
        "marked so in the store is then sent again. To keep this from happening, give the topic no retention "
        "(customer-worker check)"
    )
    if known < begin and not allowed:
        raise PositionRefused(
            f"{name} begins at offset {begin}, but what is published on it is known up to {known} only: records "
            f"between may be missing from the receipt and would be published again. {remedy}"
        )
    if known > end and not allowed:
        raise PositionRefused(
            f"{name} ends at offset {end}, but the worker has published on it up to {known}: the topic was recreated "
            f"or cut short. {remedy}"
        )
    return min(max(known, begin), end)


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
        self._reader = reader
        self._ends = ends
        self._positions = dict(starts)

    async def keep(self, store: Store, thread: StoreThread) -> int:
        """Read to the end, and keep the ids found in the store, part by part."""
        self._reader.assign(list(self._positions))
        for place, start in self._positions.items():
            self._reader.seek(place, start)
        found = 0
        ids: list[str] = []
        while left := self._left():
            for records in (await self._read_some(left)).values():
                ids += filter(None, map(self._id, records))
            if len(ids) >= RECEIPTS_AT_ONCE or not self._left():
                reached = {(place.topic, place.partition): offset for place, offset in self._positions.items()}
                await thread.call(store.keep_receipts, ids, reached)
                found += len(ids)
                ids = []
        return found

    def _left(self) -> list[TopicPartition]:
        return [place for place, position in self._positions.items() if position < self._ends[place]]

    async def _read_some(self, left: Sequence[TopicPartition]) -> Mapping[TopicPartition, Sequence[Record]]:
        """Some records of the partitions left; none where only a position moved, past a marker or aborted records."""
        try:
            async with asyncio.timeout(READ_STALLED_SECONDS):
                while True:
                    batch: Mapping[TopicPartition, Sequence[Record]] = await self._reader.getmany(
                        *left, timeout_ms=500, max_records=RECEIPTS_AT_ONCE
                    )
                    if await self._moved(left):
                        return batch
        except TimeoutError:
            names = ", ".join(f"{place.topic}/{place.partition}" for place in left)
            raise ReceiptUnreadable(
                f"{names} could not be read to the end within {READ_STALLED_SECONDS:.0f} s: a transaction of another "
                "producer may be open there (kafka-transactions.sh find-hanging)"
            ) from None

    async def _moved(self, left: Sequence[TopicPartition]) -> bool:
        before = dict(self._positions)
        for place in left:
            self._positions[place] = min(await self._reader.position(place), self._ends[place])
        return self._positions != before

    def _id(self, record: Record) -> str | None:
        """The id of a record on an output topic; None for what the worker did not put there."""
        headers = dict(record.headers)
        names = ["ce_id"] if record.topic == self._churned_topic else _DEAD_LETTER_ID
        told = [(headers.get(name) or b"").decode(errors="replace") for name in names]
        if not all(told):
            return None
        return told[0] if len(told) == 1 else dead_letter_id(*told)
