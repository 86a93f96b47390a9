"""Changes of a partition's leader between two fetches: the log may have been truncated and written again in between.

After an unclean election, or when a broker restarts with an older copy of its disk, the log ends before records that
were read already, and new records may have their offsets. Two signs show that this is possible: a new epoch of the
leader that appended a batch, which Kafka writes into the batch, and a new connection to the leader, as a broker that
restarts closes its connections. Epochs alone do not suffice: a cluster with restored metadata repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import ConnectionGroup


class LeaderChanges:
    """Detector of leader changes: compares epoch and connection of each fetch with the previous ones, by partition.

    `connection` returns the connection to the leader of a partition, a new object after each reconnection.
    """

    def __init__(self, connection: Callable[[TopicPartition], object]) -> None:
        self._connection = connection
        self._connections: dict[TopicPartition, object] = {}
        self._epochs: dict[TopicPartition, int] = {}
        self.found: set[TopicPartition] = set()

    def start(self, partitions: Iterable[TopicPartition]) -> None:
        """Reset the state. Call this before the partitions' logs are compared with the store."""
        self._connections = {partition: self._connection(partition) for partition in partitions}
        self._epochs.clear()
        self.found.clear()

    def begin_fetch(self, partition: TopicPartition, epoch: int) -> None:
        """Record the epoch of the first batch of a fetch; if its leader has changed, add the partition to `found`."""
        is_same_epoch = self._epochs.setdefault(partition, epoch) == epoch
        is_same_connection = self._connection(partition) is self._connections.get(partition)
        if not (is_same_epoch and is_same_connection):
            self.found.add(partition)

    def read_batch(self, partition: TopicPartition, epoch: int) -> None:
        """Record the epoch of a batch whose records are returned."""
        self._epochs[partition] = epoch


def leader_connection(consumer: AIOKafkaConsumer, partition: TopicPartition) -> object:
    """Return the consumer's connection to the leader of a partition, None if it has none."""
    # There is no public call for it; aiokafka's minor version is pinned.
    client = consumer._client  # noqa: SLF001
    leader = client.cluster.leader_for_partition(partition)
    return client._conns.get((leader, ConnectionGroup.DEFAULT))  # noqa: SLF001
