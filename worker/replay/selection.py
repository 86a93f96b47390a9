"""Selection of the records to replay, and its offsets in the logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.errors import Exit, Refusal
from worker.kafka.log_reader import partitions_of
from worker.messages.record import TopicPartition as PlainPartition
from worker.settings import Settings

Positions = Mapping[PlainPartition, int]


@dataclass(frozen=True, slots=True)
class Selection:
    """Bounds of a replay. `topics` are replayed in their order; None is no bound.

    `from_…` is inclusive, `to_…` exclusive. Offsets apply to each partition; times are timestamps of records.
    """

    topics: Sequence[str]
    partition: int | None = None
    from_offset: int | None = None
    from_time: datetime | None = None
    to_offset: int | None = None
    to_time: datetime | None = None
    customer_id: str | None = None


class Range(msgspec.Struct, frozen=True):
    """The part of a partition that is read: from `start` to `end`, exclusive.

    `gone` counts selected offsets that the log no longer has, `left` those that the worker has not decided yet.
    """

    topic: str
    partition: int
    start: int
    end: int
    gone: int
    left: int


async def ranges(
    settings: Settings, reader: AIOKafkaConsumer, selection: Selection, positions: Positions
) -> list[Range]:
    """Return the selected ranges in the order in which they are read; `positions` are the store's.

    Raises `Refusal` for a partition that does not exist, and for a log that is not the one the store has read.
    """
    partitions = await _selected_partitions(settings, selection)
    begins = await reader.beginning_offsets(partitions)
    ends = await reader.end_offsets(partitions)
    starts = await _bounds(reader, partitions, selection.from_offset, selection.from_time, ends)
    stops = await _bounds(reader, partitions, selection.to_offset, selection.to_time, ends)
    return [
        _range(each, starts.get(each, 0), stops.get(each, ends[each]), begins[each], ends[each], positions)
        for each in partitions
    ]


async def _selected_partitions(settings: Settings, selection: Selection) -> list[TopicPartition]:
    """Return the partitions, signups before cancellations: the order in which the worker reads a backlog."""
    existing = await partitions_of(settings.kafka, selection.topics)
    wanted = [partition for partition in existing if selection.partition in {None, partition.partition}]
    if not wanted:
        raise Refusal(
            f"{' and '.join(selection.topics)} have no partition {selection.partition}: their partitions are "
            + ", ".join(f"{partition.topic}/{partition.partition}" for partition in sorted(existing)),
            Exit.USAGE,
        )
    return sorted(wanted, key=lambda partition: (selection.topics.index(partition.topic), partition.partition))


async def _bounds(
    reader: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    offset: int | None,
    moment: datetime | None,
    ends: Mapping[TopicPartition, int],
) -> Mapping[TopicPartition, int]:
    """Return the offset of a bound in each partition; nothing without a bound."""
    if offset is not None:
        return dict.fromkeys(partitions, offset)
    if moment is None:
        return {}
    timestamp = max(0, round(moment.timestamp() * 1000))  # negative ones are special values in Kafka
    found = await reader.offsets_for_times(dict.fromkeys(partitions, timestamp))
    return {partition: found[partition].offset if found.get(partition) else ends[partition] for partition in partitions}


def _range(
    partition: TopicPartition, wanted_start: int, wanted_end: int, begin: int, end: int, positions: Positions
) -> Range:
    decided = positions.get((partition.topic, partition.partition), 0)
    if decided > end:
        raise Refusal(
            f"{partition.topic}/{partition.partition} ends at offset {end}, but the store has read it up to {decided}: "
            "the topic was recreated or truncated, and its records are not those that were decided. Restore the topic, "
            "or replay others (--topic, --partition)",
            Exit.SAFETY,
        )
    wanted_end = min(wanted_end, end)
    start = max(wanted_start, begin)
    return Range(
        partition.topic,
        partition.partition,
        start=start,
        end=max(start, min(wanted_end, decided)),
        gone=max(0, min(begin, wanted_end) - wanted_start),
        left=max(0, wanted_end - max(start, decided)),
    )
