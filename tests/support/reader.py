"""An independent client: it reads what committed transactions left on the topics (`isolation.level=read_committed`)."""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Delivery

from tests.support.records import Record

READ_LIMIT_S = 60.0


class CommittedReader:
    """Reads some topics from their beginning. `records` holds all that was read, per partition in order."""

    def __init__(self, bootstrap_servers: str, topics: Sequence[str]) -> None:
        self.records: list[Record] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": f"reader-{uuid.uuid4()}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "fetch.message.max.bytes": 16_000_000,
                "topic.metadata.refresh.interval.ms": 5_000,
                "log_level": 2,  # a broker that is away is no news to the fault tests
            }
        )
        self._unfinished = partitions_of(self._consumer, topics)
        self._consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in self._unfinished])

    def read_to_the_end(self, limit_s: float = READ_LIMIT_S) -> list[Record]:
        """Read until every partition has shown its end once."""
        return self._read_until(lambda: not self._unfinished, limit_s, "the end of every partition")

    def read_until(self, count: int, limit_s: float, still_worth_it: Callable[[], object]) -> list[Record]:
        """Read until there are `count` records; `still_worth_it` is called meanwhile and may raise."""

        def enough() -> bool:
            still_worth_it()
            return len(self.records) >= count

        return self._read_until(enough, limit_s, f"{count} records")

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _read_until(self, done: Callable[[], bool], limit_s: float, wanted: str) -> list[Record]:
        deadline = time.monotonic() + limit_s
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"read {len(self.records)} records within {limit_s} s, but not {wanted}")
            for delivery in self._consumer.consume(10_000, timeout=0.1):
                self._take(delivery)
        return self.records

    def _take(self, delivery: Delivery) -> None:
        error = delivery.error()
        topic, partition = str(delivery.topic()), int(delivery.partition() or 0)
        if error is None:
            self.records.append(_record(delivery, topic, partition))
        elif error.code() == KafkaError._PARTITION_EOF:  # underscored, and yet its public name
            self._unfinished.discard((topic, partition))
        else:
            raise KafkaException(error)


def partitions_of(client: Any, topics: Sequence[str]) -> set[tuple[str, int]]:
    """Every partition, once the broker that is asked has heard of all the topics: they may be young."""
    deadline = time.monotonic() + READ_LIMIT_S
    # One topic at a time: a shared Kafka has thousands of partitions.
    while not all(found := [client.list_topics(each, timeout=READ_LIMIT_S).topics[each].partitions for each in topics]):
        assert time.monotonic() < deadline, f"of the topics {topics} one does not exist"
        time.sleep(0.1)
    return {(topic, partition) for topic, partitions in zip(topics, found, strict=True) for partition in partitions}


def read_committed(bootstrap_servers: str, *topics: str) -> list[Record]:
    """All records of these topics that committed transactions, or none at all, have put there."""
    reader = CommittedReader(bootstrap_servers, topics)
    try:
        return reader.read_to_the_end()
    finally:
        reader.close()


def _record(delivery: Delivery, topic: str, partition: int) -> Record:
    received: Any = delivery.headers() or ()
    headers = tuple((str(name), value) for name, value in received)
    _, timestamp = delivery.timestamp()
    return Record(topic, partition, int(delivery.offset() or 0), timestamp, delivery.key(), delivery.value(), headers)
