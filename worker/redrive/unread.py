"""Redriven records that the worker has not read yet: those on the input topics after the store's positions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import NamedTuple

from aiokafka import TopicPartition as KafkaPartition

from worker.kafka.log_reader import LogReading, committed_reader, partitions_of
from worker.messages.record import Record, TopicPartition
from worker.messages.redrive_headers import redriven_letter
from worker.settings import Kafka

Progress = Callable[[int, int], object]
"""Called with the amount done and the total."""


class Unread(NamedTuple):
    """Unread offsets, and the dead letters found there with the SHA-256 of the value of each redriven record.

    `letters` is None if there were too many offsets to search.
    """

    offsets: int
    letters: Mapping[str, AbstractSet[str]] | None


async def unread_redrives(
    settings: Kafka,
    topics: Iterable[str],
    positions: Mapping[TopicPartition, int],
    *,
    at_most: int | None = None,
    progress: Progress | None = None,
) -> Unread:
    """Search these topics after the store's positions for redriven records, unless that is over `at_most` offsets.

    `progress` counts offsets. Raises `Refusal` if Kafka cannot be read.
    """
    partitions = await partitions_of(settings, topics)
    async with committed_reader(settings) as reader:
        begins, ends = await reader.beginning_offsets(partitions), await reader.end_offsets(partitions)
        starts = {p: max(positions.get((p.topic, p.partition), 0), begins[p]) for p in partitions}
        unread = sum(max(ends[partition] - start, 0) for partition, start in starts.items())
        if at_most is not None and unread > at_most:
            return Unread(unread, None)
        found: dict[str, set[str]] = defaultdict(set)
        reading = LogReading(reader, starts, ends)
        async for part in reading.parts():
            for letter, checksum in _redriven(part):
                found[letter].add(checksum)
            if progress is not None:
                progress(
                    unread - sum(ends[partition] - reading.positions[partition] for partition in reading.left), unread
                )
        return Unread(unread, found)


def _redriven(part: Mapping[KafkaPartition, Sequence[Record]]) -> Iterator[tuple[str, str]]:
    """Yield the dead letter and the SHA-256 of the value for each redriven record."""
    for record in (record for records in part.values() for record in records):
        if (letter := redriven_letter(record)) is not None:
            yield letter, sha256(record.value or b"").hexdigest()
