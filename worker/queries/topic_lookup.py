"""Lookup of a customer's records and events on their topics."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.kafka.log_reader import LogReading, committed_reader, partitions_of
from worker.kafka.partitioner import partitions_for
from worker.messages.inbound import Decoder
from worker.messages.record import Record
from worker.queries.explain import CustomerHistory, ExplainedDecision
from worker.settings import Settings
from worker.stores.changes import RecordCoordinates
from worker.stores.erasure import erased_customer

MAX_RECORDS = 50
READ_SECONDS = 5.0
FETCH_BYTES = 256 * 1024
BEFORE_MS = 60_000
"""Clock skew allowed between the producer of an event and the journal."""


class RecordLookup(msgspec.Struct, frozen=True):
    """Value of a record on its topic; if it is None, `note` has the cause."""

    value: bytes | None
    note: str = ""


class EventLookup(msgspec.Struct, frozen=True):
    """Coordinates of an event; if `offset` is None, `note` has the cause."""

    topic: str
    partition: int | None
    offset: int | None
    note: str = ""


class TopicLookup(NamedTuple):
    """Results by the coordinates of a record and by the id of an event."""

    records: Mapping[RecordCoordinates, RecordLookup]
    events: Mapping[str, EventLookup]


async def look_up_topics(settings: Settings, history: CustomerHistory) -> TopicLookup:
    """Look up the records and the events of a history. Raises `Refusal` if Kafka cannot be read."""
    partitions = await partitions_of(settings.kafka, (*settings.topics.inputs, settings.topics.churned))
    async with committed_reader(settings.kafka, FETCH_BYTES) as reader:
        lookup = _Lookup(settings, reader, partitions)
        return TopicLookup(await lookup.records(history), await lookup.events(history))


async def look_up_records(settings: Settings, history: CustomerHistory) -> Mapping[RecordCoordinates, RecordLookup]:
    """Look up the records of a history, without its events: these take a search. Raises `Refusal` as above."""
    partitions = await partitions_of(settings.kafka, settings.topics.inputs)
    async with committed_reader(settings.kafka, FETCH_BYTES) as reader:
        return await _Lookup(settings, reader, partitions).records(history)


class _Lookup:
    def __init__(self, settings: Settings, reader: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._settings = settings
        self._reader = reader
        self._partitions = set(partitions)
        # Without limits: the settings may have been others when the records were decided.
        self._decode = Decoder(settings.topics.signup, sys.maxsize, accept_framed=True).decode

    async def records(self, history: CustomerHistory) -> dict[RecordCoordinates, RecordLookup]:
        """Look up each record once, the last `MAX_RECORDS` of them."""
        wanted = list(dict.fromkeys(step.coordinates for step in reversed(history.steps)))
        found = {
            coordinates: RecordLookup(None, f"not read: only the last {MAX_RECORDS} records are read")
            for coordinates in wanted
        }
        for coordinates in sorted(wanted[:MAX_RECORDS]):
            found[coordinates] = await self._record(coordinates, history.customer_id)
        return found

    async def _record(self, coordinates: RecordCoordinates, customer_id: str) -> RecordLookup:
        record = await self._record_at(*coordinates)
        if record is None:
            return RecordLookup(None, "no longer on its topic")
        if self._decode(record).customer_id != customer_id:
            return RecordLookup(None, "another record has its offset: the topic was recreated")
        return RecordLookup(record.value)

    async def _record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """Return the record at these coordinates, None if it is no longer there."""
        topic_partition = TopicPartition(topic, partition)
        if topic_partition not in self._partitions:
            return None
        begin, end = await self._bounds(topic_partition)
        if not begin <= offset < end:
            return None
        if self._reader.assignment() != {topic_partition}:  # assigning takes a tenth of a second
            self._reader.assign([topic_partition])
        self._reader.seek(topic_partition, offset)
        async with asyncio.timeout(READ_SECONDS):
            while await self._reader.position(topic_partition) <= offset:
                found = await self._reader.getmany(topic_partition, timeout_ms=500, max_records=1)
                for record in found.get(topic_partition, ()):
                    return record if record.offset == offset else None
        return None

    async def _bounds(self, topic_partition: TopicPartition) -> tuple[int, int]:
        begins, ends = await asyncio.gather(
            self._reader.beginning_offsets([topic_partition]), self._reader.end_offsets([topic_partition])
        )
        return begins[topic_partition], ends[topic_partition]

    async def events(self, history: CustomerHistory) -> dict[str, EventLookup]:
        """Look up each event of the history."""
        return {step.event_id: await self._event(history, step) for step in history.steps if step.event_id}

    async def _event(self, history: CustomerHistory, step: ExplainedDecision) -> EventLookup:
        topic = self._settings.topics.churned
        count = sum(partition.topic == topic for partition in self._partitions)
        if not count:
            return EventLookup(topic, None, None, "the topic does not exist")
        [partition] = partitions_for([history.customer_id.encode()], count)
        topic_partition = TopicPartition(topic, partition)
        begin, end = await self._bounds(topic_partition)
        since = int(step.at.timestamp() * 1000) - BEFORE_MS
        later = (await self._reader.offsets_for_times({topic_partition: since}))[topic_partition]
        start = end if later is None else max(begin, later.offset)
        last = await self._last(topic_partition, start, end, history, step)
        if last is None and step.is_published:  # the journal of a rebuilt store is younger than its events
            last = await self._last(topic_partition, begin, start, history, step)
        if last is not None and last.value is not None:
            return EventLookup(topic, partition, last.offset)
        note = "not found" if last is None else f"erased by the tombstone at offset {last.offset}"
        return EventLookup(topic, partition, None, note if step.is_published else "not published yet")

    async def _last(
        self, topic_partition: TopicPartition, start: int, end: int, history: CustomerHistory, step: ExplainedDecision
    ) -> Record | None:
        """Return the step's event, or the tombstone of its customer, whichever comes last."""
        last = None
        event_id = ("ce_id", (step.event_id or "").encode())
        async for part in LogReading(self._reader, {topic_partition: start}, {topic_partition: end}).parts():
            for record in part.get(topic_partition, ()):
                is_tombstone = record.value is None and erased_customer(record.key) == history.customer_id
                if is_tombstone or (record.value is not None and event_id in record.headers):
                    last = record
        return last
