"""A reader that reads the output topics all along, while everything around it fails."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka import Message as Delivery

from tests.support.oracle import DEAD_LETTER_PREFIX
from tests.support.reader import READ_LIMIT_S, CommittedReader
from tests.support.records import Record

LATE = 20_000
_COORDINATES = [DEAD_LETTER_PREFIX + name for name in ("topic", "partition", "offset", "timestamp")]


class Watcher(CommittedReader):
    """Reads on a thread until closed; `records` grows."""

    def __init__(self, bootstrap_servers: str, topics: Sequence[str]) -> None:
        super().__init__(bootstrap_servers, topics)
        self._arrivals: list[float] = []
        self._keys: set[bytes | None] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="watcher", daemon=True)
        self._thread.start()

    def watch_also(self, topic: str, partition: int) -> None:
        """Read a partition that was not there at first."""
        self._consumer.incremental_assign([TopicPartition(topic, partition, 0)])

    def ids(self) -> list[str]:
        """Return the identity of each record seen, in the order of arrival."""
        return [identity(record) for record in list(self.records)]

    def has_seen(self, *keys: bytes) -> bool:
        """Return whether a record with each of these keys arrived."""
        return self._keys.issuperset(keys)

    def has_read_from(self, topic: str, partition: int) -> bool:
        """Return whether a record of this partition arrived recently."""
        return any((record.topic, record.partition) == (topic, partition) for record in self.records[-LATE:])

    def longest_silence(self, since: float) -> float:
        """Return the longest time without a record since that time of the monotonic clock."""
        times = [since, *(arrival for arrival in self._arrivals if arrival > since), time.monotonic()]
        return max(later - earlier for earlier, later in pairwise(times))

    def doubled(self) -> list[str]:
        """Return the ids that were read more than once."""
        return [name for name, count in Counter(self.ids()).items() if count > 1]

    def once(self) -> list[Record]:
        """Each record as it was seen first."""
        return list({identity(record): record for record in reversed(self.records)}.values())

    def wait_for(self, count: int) -> None:
        """Until so many records have come in; fewer are what the caller then complains about."""
        deadline = time.monotonic() + READ_LIMIT_S
        while len(self.records) < count and time.monotonic() < deadline:
            time.sleep(0.1)

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._thread.join()
        super().close()

    def _read(self) -> None:
        while not self._over.is_set():
            for delivery in self._consumer.consume(1_000, timeout=0.1):
                self._take(delivery)

    def _take(self, delivery: Delivery) -> None:
        before = len(self.records)
        try:
            super()._take(delivery)
            self._arrivals += [time.monotonic()] * (len(self.records) - before)
            self._keys.update(record.key for record in self.records[before:])
        except KafkaException:
            return  # a broker that is away: the client goes on by itself


def identity(record: Record) -> str:
    """Return the id of the record in the worker's outbox: an event's id, or a dead letter's coordinates."""
    headers = dict(record.headers)
    if not record.topic.endswith("-dlt"):
        return (headers["ce_id"] or b"").decode()
    topic, partition, offset, timestamp = ((headers[name] or b"").decode() for name in _COORDINATES)
    return f"{topic}/{partition}/{offset}@{timestamp}"
