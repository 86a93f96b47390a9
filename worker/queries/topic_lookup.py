"""What the topics still tell of a customer's story: each record as it came, and where each event stands."""

from __future__ import annotations

import asyncio
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
from worker.stores.erasure import erased_customer
from worker.stores.port import RecordCoordinates

MOST_READ_BACK = 50
READ_SECONDS = 5.0
FETCH_BYTES = 256 * 1024
BEFORE_MS = 60_000
"""By how much the clock of whoever stamps an event may be behind the journal's."""


class RecordLookup(msgspec.Struct, frozen=True):
    """A record as it stands on its topic; where `value` is None, `note` says why."""

    value: bytes | None
    note: str = ""


class EventPlace(msgspec.Struct, frozen=True):
    """Where an event stands; where `offset` is None, `note` says why."""

    topic: str
    partition: int | None
    offset: int | None
    note: str = ""


class TopicLookup(NamedTuple):
    """What was found on the topics: by the coordinates of a record, and by the id of an event."""

    said: Mapping[RecordCoordinates, RecordLookup]
    events: Mapping[str, EventPlace]


async def look_up_topics(settings: Settings, story: CustomerHistory) -> TopicLookup:
    """What the story's records said, and where its events stand. Raises `Refusal` when Kafka cannot be read."""
    places = await partitions_of(settings.kafka, (*settings.topics.inputs, settings.topics.churned))
    async with committed_reader(settings.kafka, FETCH_BYTES) as reader:
        reading = _Reading(settings, reader, places)
        return TopicLookup(await reading.said(story), await reading.events(story))


class _Reading:
    def __init__(self, settings: Settings, reader: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> None:
        self._settings = settings
        self._reader = reader
        self._places = set(places)
        self._decode = Decoder(settings.topics.signup, settings.batch.max_value_bytes).decode

    async def said(self, story: CustomerHistory) -> dict[RecordCoordinates, RecordLookup]:
        """Each record once, the last `MOST_READ_BACK` of them."""
        wanted = list(dict.fromkeys(step.place for step in reversed(story.steps)))
        found = {place: RecordLookup(None, f"not read: only the last {MOST_READ_BACK} are") for place in wanted}
        for place in sorted(wanted[:MOST_READ_BACK]):
            found[place] = await self._said_at(place, story.customer_id)
        return found

    async def _said_at(self, place: RecordCoordinates, customer_id: str) -> RecordLookup:
        record = await self._record_at(*place)
        if record is None:
            return RecordLookup(None, "gone from its topic")
        if self._decode(record).customer_id != customer_id:
            return RecordLookup(None, "another record stands there now: the topic was made anew")
        return RecordLookup(record.value)

    async def _record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at these coordinates, None where it is not there any more."""
        where = TopicPartition(topic, partition)
        if where not in self._places:
            return None
        begin, end = await self._bounds(where)
        if not begin <= offset < end:
            return None
        if self._reader.assignment() != {where}:  # which takes a tenth of a second
            self._reader.assign([where])
        self._reader.seek(where, offset)
        async with asyncio.timeout(READ_SECONDS):
            while await self._reader.position(where) <= offset:
                found = await self._reader.getmany(where, timeout_ms=500, max_records=1)
                for record in found.get(where, ()):
                    return record if record.offset == offset else None
        return None

    async def _bounds(self, where: TopicPartition) -> tuple[int, int]:
        begins, ends = await asyncio.gather(self._reader.beginning_offsets([where]), self._reader.end_offsets([where]))
        return begins[where], ends[where]

    async def events(self, story: CustomerHistory) -> dict[str, EventPlace]:
        """Where each event of the story stands."""
        return {step.event_id: await self._event(story, step) for step in story.steps if step.event_id}

    async def _event(self, story: CustomerHistory, step: ExplainedDecision) -> EventPlace:
        topic = self._settings.topics.churned
        count = sum(place.topic == topic for place in self._places)
        if not count:
            return EventPlace(topic, None, None, "the topic does not exist")
        [partition] = partitions_for([story.customer_id.encode()], count)
        where = TopicPartition(topic, partition)
        begin, end = await self._bounds(where)
        since = int(step.at.timestamp() * 1000) - BEFORE_MS
        later = (await self._reader.offsets_for_times({where: since}))[where]
        start = end if later is None else max(begin, later.offset)
        last = await self._last(where, start, end, story, step)
        if last is None and step.is_published:  # a rebuilt store's journal is younger than its events
            last = await self._last(where, begin, start, story, step)
        if last is not None and last.value is not None:
            return EventPlace(topic, partition, last.offset)
        note = "not found there" if last is None else f"erased by the tombstone at offset {last.offset}"
        return EventPlace(topic, partition, None, note if step.is_published else "not published yet")

    async def _last(
        self, where: TopicPartition, start: int, end: int, story: CustomerHistory, step: ExplainedDecision
    ) -> Record | None:
        """Return the step's event, or the tombstone of its customer, whichever comes last."""
        last = None
        event_id = ("ce_id", (step.event_id or "").encode())
        async for part in LogReading(self._reader, {where: start}, {where: end}).parts():
            for record in part.get(where, ()):
                is_tombstone = record.value is None and erased_customer(record.key) == story.customer_id
                if is_tombstone or (record.value is not None and event_id in record.headers):
                    last = record
        return last
