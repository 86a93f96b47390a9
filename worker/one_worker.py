"""How a group shares its partitions when the store has one owner: the worker that started first has them all."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from typing_extensions import override

VERSION = 0
_STARTED = str(time.time_ns())


class OneWorkerAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """All partitions to the member that started first. A second worker gets none, says so and stops.

    With any other sharing a worker started by mistake would take half of the partitions from one that does its work.
    """

    name = "one-worker"

    @classmethod
    @override
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        first = min(members, key=lambda member: (int(members[member].user_data or 0), member))
        everything = [
            (topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in sorted(members[first].subscription)
        ]
        return {
            member: ConsumerProtocolMemberAssignment(VERSION, everything if member == first else [], b"")
            for member in members
        }

    @classmethod
    @override
    def metadata(cls, topics: Iterable[str]) -> Any:
        return ConsumerProtocolMemberMetadata(VERSION, list(topics), _STARTED.encode())

    @classmethod
    @override
    def on_assignment(cls, assignment: Any) -> None:
        pass
