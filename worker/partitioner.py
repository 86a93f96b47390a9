"""Which partition a key belongs to: the Java client's default, so that any client finds a customer in the same place."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.partitioner import murmur2


def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key among so many."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def partitions_for(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The partition of each key."""
    return [partition_for(key, partitions) for key in keys]
