"""Redriven records that the worker has yet to read: the rest of the input topics, beyond where the store is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import NamedTuple

from worker.kafka.log_reader import LogReading, committed_reader, partitions_of
from worker.messages.record import TopicPartition
from worker.messages.redrive_headers import redriven_letter
from worker.settings import Kafka

Progress = Callable[[int, int], object]
"""Told how much is done, and of how much."""


class Unread(NamedTuple):
    """What is not read yet: how many offsets, and the dead letters found there with the SHA-256 of each one's value.

    `letters` is None where there was too much to look through.
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
    """Look through what these topics hold beyond the store's positions; at more than `at_most` offsets, do not.

    `progress` counts offsets. Raises `Refusal` when Kafka cannot be read.
    """
    places = await partitions_of(settings, topics)
    async with committed_reader(settings) as reader:
        begins, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
        starts = {p: max(positions.get((p.topic, p.partition), 0), begins[p]) for p in places}
        unread = sum(max(ends[place] - start, 0) for place, start in starts.items())
        if at_most is not None and unread > at_most:
            return Unread(unread, None)
        found: dict[str, set[str]] = defaultdict(set)
        reading = LogReading(reader, starts, ends)
        async for part in reading.parts():
            for record in (record for records in part.values() for record in records):
                if (letter := redriven_letter(record)) is not None:
                    found[letter].add(sha256(record.value or b"").hexdigest())
            if progress is not None:
                progress(unread - sum(ends[place] - reading.positions[place] for place in reading.left), unread)
        return Unread(unread, found)
