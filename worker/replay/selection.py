"""Which records are replayed: what an operator asks for, and where that stands in the logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.errors import Exit, Refusal
from worker.kafka.log_reader import partitions_of
from worker.messages.record import TopicPartition as Place
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for. `topics` come one after the other; what is None sets no limit.

    From is taken, up to `to_…` and without it. Offsets hold for each partition; times are those of the records.
    """

    topics: Sequence[str]
    partition: int | None = None
    from_offset: int | None = None
    from_time: datetime | None = None
    to_offset: int | None = None
    to_time: datetime | None = None
    customer_id: str | None = None


class Range(msgspec.Struct, frozen=True):
    """The part of a partition that is read: `start` up to and without `end`.

    `gone` are the offsets asked for that the log no longer has, `left` those that the worker has yet to decide.
    """

    topic: str
    partition: int
    start: int
    end: int
    gone: int
    left: int


async def ranges(
    settings: Settings, reader: AIOKafkaConsumer, selection: Selection, positions: Mapping[Place, int]
) -> list[Range]:
    """Where what is selected stands, in the order in which it is read; `positions` are the store's.

    Raises `Refusal` for a partition that does not exist, and for a log that is not the one the store has read.
    """
    places = await _places(settings, selection)
    begins = await reader.beginning_offsets(places)
    ends = await reader.end_offsets(places)
    starts = await _asked(reader, places, selection.from_offset, selection.from_time, ends)
    stops = await _asked(reader, places, selection.to_offset, selection.to_time, ends)
    return [
        _range(place, starts.get(place, 0), stops.get(place, ends[place]), begins[place], ends[place], positions)
        for place in places
    ]


async def _places(settings: Settings, selection: Selection) -> list[TopicPartition]:
    """The partitions, signups before cancellations: so the worker itself reads a backlog."""
    existing = await partitions_of(settings.kafka, selection.topics)
    wanted = [place for place in existing if selection.partition in {None, place.partition}]
    if not wanted:
        raise Refusal(
            f"{' and '.join(selection.topics)} have no partition {selection.partition}: their partitions are "
            + ", ".join(f"{place.topic}/{place.partition}" for place in sorted(existing)),
            Exit.USAGE,
        )
    return sorted(wanted, key=lambda place: (selection.topics.index(place.topic), place.partition))


async def _asked(
    reader: AIOKafkaConsumer,
    places: Sequence[TopicPartition],
    offset: int | None,
    moment: datetime | None,
    ends: Mapping[TopicPartition, int],
) -> Mapping[TopicPartition, int]:
    """An offset of each partition, or of none where none is asked for."""
    if offset is not None:
        return dict.fromkeys(places, offset)
    if moment is None:
        return {}
    timestamp = max(0, round(moment.timestamp() * 1000))  # negative ones mean something else to Kafka
    found = await reader.offsets_for_times(dict.fromkeys(places, timestamp))
    return {place: found[place].offset if found.get(place) else ends[place] for place in places}


def _range(
    place: TopicPartition, asked_start: int, asked_end: int, begin: int, end: int, positions: Mapping[Place, int]
) -> Range:
    decided = positions.get((place.topic, place.partition), 0)
    if decided > end:
        raise Refusal(
            f"{place.topic}/{place.partition} ends at offset {end}, but the store has read it up to {decided}: the "
            "topic was recreated or cut short, and its records are not those that were decided. Restore the topic, or "
            "replay others (--topic, --partition)",
            Exit.SAFETY,
        )
    wanted_end = min(asked_end, end)
    start = max(asked_start, begin)
    return Range(
        place.topic,
        place.partition,
        start=start,
        end=max(start, min(wanted_end, decided)),
        gone=max(0, min(begin, wanted_end) - asked_start),
        left=max(0, wanted_end - max(start, decided)),
    )
