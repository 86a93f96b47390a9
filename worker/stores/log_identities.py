"""Identities of the logs that positions belong to, for both databases."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from uuid import UUID

from typing_extensions import override

from worker.messages.record import TopicPartition
from worker.stores.port import OwnershipStore


class LogIdentities(OwnershipStore):
    """Log identities of the positions. `_topic_ids` are those that new positions get."""

    _topic_ids: Mapping[TopicPartition, UUID]

    @abstractmethod
    def _set_topic_ids(self, topic_ids: Mapping[TopicPartition, UUID]) -> None:
        """Record the topic ids of positions without one."""

    @override
    def identify_logs(self, topic_ids: Mapping[TopicPartition, UUID]) -> None:
        self._topic_ids = topic_ids
        unknown = [place for place, log in self.logs().items() if log.topic_id is None and place in topic_ids]
        if unknown:
            self._set_topic_ids({place: topic_ids[place] for place in unknown})


def moving_applied(placeholder: str) -> list[str]:
    """Return statements that move applied decisions to `decisions`; parameters: topic, partition, first offset.

    Records of another log have the same coordinates. Their decisions follow those in `decisions`, while `applied`
    counts as the last one.
    """
    of_log = f"source_topic = {placeholder} AND source_partition = {placeholder} AND source_offset >= {placeholder}"
    return [
        f"""
        INSERT INTO decisions ("at", topic, partition, "offset", customer_id, outcome, event_id)
        SELECT "at", topic, partition, "offset", customer_id, 'applied', event_id FROM applied
        WHERE topic = {placeholder} AND partition = {placeholder} AND "offset" >= {placeholder}
        """,
        f"UPDATE customers SET source_topic = NULL WHERE {of_log}",
        f"UPDATE outbox SET source_topic = NULL WHERE {of_log}",
    ]
