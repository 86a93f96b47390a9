"""Ownership of a DuckDB store: its one process has all partitions and publishes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from typing_extensions import override

from worker.messages.log_identity import LogIdentity
from worker.messages.record import TopicPartition
from worker.stores.duckdb.file import wrap_errors
from worker.stores.duckdb.session import DuckDBSession
from worker.stores.log_identities import LogIdentities, moving_applied


class DuckDBOwnership(DuckDBSession, LogIdentities):
    """The ownership of a file, and the logs of its positions."""

    @property
    @override
    def exclusive_id(self) -> str:
        return self._identity

    @override
    def claim(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._progress.positions

    @override
    def lead(self) -> bool:
        return True

    @override
    def logs(self) -> Mapping[TopicPartition, LogIdentity]:
        return self._progress.logs

    @wrap_errors
    @override
    def forget_position(self, partition: TopicPartition, next_offset: int) -> None:
        with self._saving(self._progress.without_log(partition, next_offset)):
            for statement in moving_applied("?"):
                self._db.execute(statement, [*partition, next_offset])

    @wrap_errors
    @override
    def _set_topic_ids(self, topic_ids: Mapping[TopicPartition, UUID]) -> None:
        with self._saving(self._progress._replace(topic_ids={**self._progress.topic_ids, **topic_ids})):
            pass
