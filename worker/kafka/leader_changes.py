"""Changes of a partition's leader between two fetches: the log may have been truncated and written again in between.

After an unclean election, or when a broker comes back with an older copy of its disk, the log ends before records that
were read already, and new records may stand at their offsets. Two signs show that this is possible: the epoch of the
leader that appended a batch of records, which Kafka writes into the batch, and the connection to the leader, which a
broker that restarts closes. Epochs alone do not suffice: a cluster whose metadata is restored, too, counts them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import ConnectionGroup


class LeaderChanges:
    """Compares the leader's epoch and connection of each fetch with those before it, by partition.

    `connection` returns an object that is another one after each reconnection to the leader of a partition.
    """

    def __init__(self, connection: Callable[[TopicPartition], object]) -> None:
        self._connection = connection
        self._connections: dict[TopicPartition, object] = {}
        self._epochs: dict[TopicPartition, int] = {}
        self.found: set[TopicPartition] = set()

    def __call__(self, value: bytes) -> bytes:
        """Return a value as it is: aiokafka takes this for a deserializer; `record_parsing` finds it by its type."""
        return value

    def start(self, partitions: Iterable[TopicPartition]) -> None:
        """Start again: call this before the partitions' logs are compared with the store."""
        self._connections = {partition: self._connection(partition) for partition in partitions}
        self._epochs.clear()
        self.found.clear()

    def begin_fetch(self, partition: TopicPartition, epoch: int) -> None:
        """Note the epoch of the first batch of a fetch; `found` gets the partition where its leader has changed."""
        is_same_epoch = self._epochs.setdefault(partition, epoch) == epoch
        is_same_connection = self._connection(partition) is self._connections.get(partition)
        if not (is_same_epoch and is_same_connection):
            self.found.add(partition)

    def read_batch(self, partition: TopicPartition, epoch: int) -> None:
        """Note the epoch of a batch whose records are handed over."""
        self._epochs[partition] = epoch


def leader_connection(consumer: AIOKafkaConsumer, partition: TopicPartition) -> object:
    """Return the consumer's connection to the leader of a partition, None where it has none."""
    # There is no public way to ask; aiokafka's minor version is pinned.
    client = consumer._client  # noqa: SLF001
    leader = client.cluster.leader_for_partition(partition)
    return client._conns.get((leader, ConnectionGroup.DEFAULT))  # noqa: SLF001
