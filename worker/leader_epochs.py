"""Leader epochs of fetched records: a partition's leader that changed between two fetches may have another log.

After an unclean election, or when a broker comes back with an older copy of its disk, the log ends earlier than records
that were read already, and new records may stand at their offsets. Kafka writes the epoch of the leader that appended
it into every batch of records.
"""

from __future__ import annotations

from aiokafka import TopicPartition


class LeaderEpochs:
    """Compares the epoch at which a fetch begins with the one at which the fetch before it ended, by partition."""

    def __init__(self) -> None:
        self._last: dict[TopicPartition, int] = {}
        self.changed: set[TopicPartition] = set()

    def __call__(self, value: bytes) -> bytes:
        """Return a value as it is: aiokafka takes this for a deserializer, and `raw_headers` finds it by its type."""
        return value

    def begin_fetch(self, partition: TopicPartition, epoch: int) -> None:
        """Note the epoch of the first batch of a fetch; `changed` gets the partition where it is another one."""
        if self._last.setdefault(partition, epoch) != epoch:
            self.changed.add(partition)

    def read_batch(self, partition: TopicPartition, epoch: int) -> None:
        """Note the epoch of a batch whose records are handed over."""
        self._last[partition] = epoch

    def forget(self) -> None:
        """Start again: what is fetched next has been compared with the store."""
        self._last.clear()
        self.changed.clear()
