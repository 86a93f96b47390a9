"""The partitions of the input topics that one worker reports on, and their problems."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from operator import itemgetter

from aiokafka import TopicPartition

from worker.consumer.progress import Progress
from worker.kafka.topic_metadata import TopicMetadata
from worker.messages import record as plain

END_SECONDS = 10.0
"""For an end that cannot be read: a broker restarts, or a leader moves."""
NEW_PARTITION_SECONDS = 60.0
"""For a partition that was added to a topic: the group assigns it once its members have found it."""
STANDING_SECONDS = 60.0
"""For a position that does not move although records wait."""
DESCRIBED_SECONDS = 5.0


class WatchedPartitions:
    """Partitions of the input topics, without those of other workers, with their progress as last known.

    Times are of one monotonic clock, in seconds. `described_at` is the time of the last description of the topics,
    `busy_at` the last time of a long batch, during which no position moves.
    """

    def __init__(self, now: float) -> None:
        self._progress: dict[TopicPartition, Progress] = {}
        self.described_at = now
        self.busy_at = 0.0

    def note_topics(
        self,
        topics: Mapping[str, TopicMetadata],
        own: AbstractSet[TopicPartition],
        elsewhere: AbstractSet[TopicPartition],
        now: float,
    ) -> None:
        """Record the partitions of the topics; those of a topic that is not described stay unchanged."""
        self.described_at = now
        others = elsewhere - own
        existing = {TopicPartition(name, number) for name, topic in topics.items() for number in topic.partitions}
        described = {name for name, topic in topics.items() if topic.partitions}
        for partition in list(self._progress):
            if partition in others or (partition.topic in described and partition not in existing):
                del self._progress[partition]
        for partition in existing - others:
            progress = self._progress.setdefault(partition, Progress(now))
            progress.unassigned_since = None if partition in own else progress.unassigned_since or now

    def note_ends(self, ends: Mapping[TopicPartition, int], now: float) -> None:
        """Record the ends of the logs."""
        for partition, end in ends.items():
            if partition in self._progress:
                self._progress[partition].ends_at(end, now)

    def note_positions(self, positions: Mapping[TopicPartition, int], now: float) -> None:
        """Record the next offset to read of this worker's partitions."""
        for partition, position in positions.items():
            self._progress.setdefault(partition, Progress(now)).read_to(position, now)

    def note_readable(self, unreadable: AbstractSet[str], now: float) -> None:
        """Record that the partitions are readable, except those of these topics."""
        if now - self.described_at < DESCRIBED_SECONDS:
            for partition, progress in self._progress.items():
                if partition.topic not in unreadable:
                    progress.is_readable(now)

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._progress)

    def lag(self, stored: Mapping[plain.TopicPartition, int]) -> dict[plain.TopicPartition, int]:
        """Return the unread offsets by partition; `stored` are the store's positions, for unassigned partitions."""
        return {
            tuple(partition): progress.lag(stored.get(tuple(partition), 0))
            for partition, progress in self._progress.items()
        }

    def behind_seconds(self, unreadable: AbstractSet[str]) -> dict[plain.TopicPartition, float]:
        """Return the age of the oldest unread offset of each partition, as far as this worker has seen."""
        now = time.monotonic()
        is_outdated = now - self.described_at > DESCRIBED_SECONDS
        return {
            tuple(partition): progress.behind_seconds(now)
            if is_outdated or partition.topic in unreadable or progress.lag() > 0
            else 0.0
            for partition, progress in self._progress.items()
        }

    def problem(self, topic: str, now: float, *, paused: AbstractSet[TopicPartition], is_assigned: bool) -> str | None:
        """Return the first problem of a partition of this topic, None if there is none.

        `is_assigned` is True once the group has assigned its partitions; `paused` ones need not move.
        """
        for partition, progress in sorted(self._progress.items(), key=itemgetter(0)):
            may_stand = partition in paused or now - self.busy_at < STANDING_SECONDS
            if partition.topic == topic and (
                problem := _problem(progress, now, may_stand=may_stand, is_assigned=is_assigned)
            ):
                return f"partition {partition.partition} {problem}"
        return None


def _problem(progress: Progress, now: float, *, may_stand: bool, is_assigned: bool) -> str | None:
    position, end, unassigned_since = progress.position, progress.end, progress.unassigned_since
    if now - progress.end_known_at > END_SECONDS:
        return "has no leader that returns the end of its log"
    if unassigned_since is not None:
        is_new = now - unassigned_since <= NEW_PARTITION_SECONDS
        return "is assigned to no worker" if is_assigned and not is_new else None
    if position is not None and end is not None and end < position:
        return f"ends at offset {end}, before the position {position}"
    if not may_stand and progress.standing_seconds(now) > STANDING_SECONDS:
        return (
            f"makes no progress: its position is {position} for {progress.standing_seconds(now):.0f} s, its "
            f"end {end}; a producer may have left a transaction open"
        )
    return None
