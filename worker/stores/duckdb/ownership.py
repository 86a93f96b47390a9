"""Ownership of a DuckDB store: its one process has all partitions and publishes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from typing_extensions import override

from worker.messages.record import TopicPartition
from worker.stores.duckdb.file import wrap_errors
from worker.stores.duckdb.session import DuckDBSession
from worker.stores.log_identities import LogIdentities


class DuckDBOwnership(DuckDBSession, LogIdentities):
    """The ownership of a file, and the logs of its positions."""

    @property
    @override
    def exclusive_id(self) -> str:
        return self._identity

    @override
    def claim(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._positions

    @override
    def lead(self) -> bool:
        return True

    @wrap_errors
    @override
    def forget_position(self, partition: TopicPartition, next_offset: int) -> None:
        topic, number = partition
        self._db.execute(
            "UPDATE positions SET next_offset = ?, topic_id = NULL, record_offset = NULL, record_fingerprint = NULL"
            " WHERE topic = ? AND partition = ?",
            [next_offset, topic, number],
        )
        self._positions[partition] = next_offset

    @wrap_errors
    @override
    def _set_topic_id(self, partition: TopicPartition, topic_id: UUID) -> None:
        query = "UPDATE positions SET topic_id = ? WHERE topic = ? AND partition = ? AND topic_id IS NULL"
        self._db.execute(query, [topic_id, *partition])
