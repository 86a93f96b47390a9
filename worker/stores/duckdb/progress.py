"""The progress: positions, output ends and the last published row, which change with nearly every batch.

It is kept in memory, and in one row of one table: any statement costs DuckDB about a millisecond, however few rows it
writes. The row has partitions as JSON, which the views `positions`, `output_ends` and `relay` decode.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar
from uuid import UUID

import duckdb
import msgspec

from worker.messages.log_identity import LogIdentity, RecordMark
from worker.messages.record import TopicPartition

V = TypeVar("V")

_Position = tuple[int, int | None, int | None]
_decode_positions = msgspec.json.Decoder(dict[str, dict[int, _Position]]).decode
_decode_topic_ids = msgspec.json.Decoder(dict[str, dict[int, UUID]]).decode
_decode_ends = msgspec.json.Decoder(dict[str, dict[int, int]]).decode


class Progress(NamedTuple):
    """The progress at one moment: a change makes a new one, so that a failed commit changes nothing.

    `records` has the last record before a position, `topic_ids` the topic id of its log, as far as they are known.
    """

    positions: Mapping[TopicPartition, int]
    records: Mapping[TopicPartition, RecordMark]
    topic_ids: Mapping[TopicPartition, UUID]
    ends: Mapping[TopicPartition, int]
    published_seq: int

    def advanced(
        self,
        positions: Mapping[TopicPartition, int],
        records: Mapping[TopicPartition, RecordMark],
        topic_ids: Mapping[TopicPartition, UUID],
    ) -> Progress:
        """Return the progress with these positions; new ones get their topic's id from `topic_ids`."""
        new = {place: topic_ids[place] for place in positions if place not in self.positions and place in topic_ids}
        return self._replace(
            positions={**self.positions, **positions},
            records={**self.records, **records},
            topic_ids={**self.topic_ids, **new} if new else self.topic_ids,
        )

    def without_log(self, partition: TopicPartition, next_offset: int) -> Progress:
        """Return the progress with this position, in a log that is not known yet."""
        return self._replace(
            positions={**self.positions, partition: next_offset},
            records={place: record for place, record in self.records.items() if place != partition},
            topic_ids={place: topic_id for place, topic_id in self.topic_ids.items() if place != partition},
        )

    def marked(self, published_seq: int, ends: Mapping[TopicPartition, int]) -> Progress:
        """Return the progress with the outbox published up to this row, and these output ends."""
        return self._replace(published_seq=published_seq, ends={**self.ends, **ends} if ends else self.ends)

    @property
    def logs(self) -> dict[TopicPartition, LogIdentity]:
        """The log that each position belongs to."""
        return {place: LogIdentity(self.topic_ids.get(place), self.records.get(place)) for place in self.positions}

    def columns(self, stored: Progress) -> dict[str, str | int]:
        """Return the columns of the row that differ from those stored."""
        columns: dict[str, str | int] = {}
        if self.positions is not stored.positions or self.records is not stored.records:
            columns["positions"] = _by_topic(dict(self._positions()))
        if self.topic_ids is not stored.topic_ids:
            columns["topic_ids"] = _by_topic(self.topic_ids)
        if self.ends is not stored.ends:
            columns["output_ends"] = _by_topic(self.ends)
        if self.published_seq != stored.published_seq:
            columns["published_seq"] = self.published_seq
        return columns

    def _positions(self) -> Iterator[tuple[TopicPartition, _Position]]:
        for place, next_offset in self.positions.items():
            yield place, (next_offset, *self.records.get(place, (None, None)))


NO_PROGRESS = Progress({}, {}, {}, {}, 0)


def read_progress(db: duckdb.DuckDBPyConnection) -> Progress:
    """Read the row."""
    [(positions, topic_ids, ends, published_seq)] = db.execute("FROM progress").fetchall()
    stored = _by_partition(_decode_positions(positions))
    return Progress(
        {place: next_offset for place, (next_offset, _, _) in stored.items()},
        {
            place: RecordMark(offset, fingerprint)
            for place, (_, offset, fingerprint) in stored.items()
            if offset is not None and fingerprint is not None
        },
        _by_partition(_decode_topic_ids(topic_ids)),
        _by_partition(_decode_ends(ends)),
        published_seq,
    )


def _by_topic(values: Mapping[TopicPartition, object]) -> str:
    topics: dict[str, dict[int, object]] = defaultdict(dict)
    for (topic, partition), value in values.items():
        topics[topic][partition] = value
    return msgspec.json.encode(topics).decode()


def _by_partition(topics: Mapping[str, Mapping[int, V]]) -> dict[TopicPartition, V]:
    return {(topic, partition): value for topic, parts in topics.items() for partition, value in parts.items()}
