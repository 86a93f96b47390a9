"""Identities of the logs that positions belong to, for both databases."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from typing_extensions import override

from worker.messages.log_identity import LogIdentity
from worker.messages.record import TopicPartition
from worker.stores.port import OwnershipStore
from worker.stores.row_codec import POSITION_LOGS, log_identity


class LogIdentities(OwnershipStore):
    """Log identities in the table of positions. `_topic_ids` are those that new positions get."""

    _topic_ids: Mapping[TopicPartition, UUID]

    @abstractmethod
    def _rows(self, query: str) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def _set_topic_id(self, partition: TopicPartition, topic_id: UUID) -> None:
        """Record the topic id of a position, unless it has one."""

    @override
    def logs(self) -> Mapping[TopicPartition, LogIdentity]:
        return {(topic, partition): log_identity(*log) for topic, partition, *log in self._rows(POSITION_LOGS)}

    @override
    def identify_logs(self, topic_ids: Mapping[TopicPartition, UUID]) -> None:
        self._topic_ids = topic_ids
        for partition, log in self.logs().items():
            if log.topic_id is None and partition in topic_ids:
                self._set_topic_id(partition, topic_ids[partition])
