"""Producer and consumer of the demo: plain clients without the worker's code."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from worker.demo.broker import ANSWER_SECONDS, Broker
from worker.demo.story import Line
from worker.errors import Exit, Refusal

OUTPUTS = ("churned", "signup-dlt", "cancellation-dlt")


@dataclass(frozen=True, slots=True)
class Sent:
    """A record sent, and its coordinates."""

    line: Line
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A record read from an output topic; `output` is one of `OUTPUTS`."""

    output: str
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


class Sender:
    """Producer of lines, which keeps them with their coordinates."""

    def __init__(self, broker: Broker) -> None:
        self._topics = broker.topics
        self._producer = Producer({**broker.client, "partitioner": "murmur2_random", "enable.idempotence": True})
        self.sent: list[Sent] = []

    def send(self, lines: Iterable[Line]) -> None:
        """Send the lines in order, and wait for every acknowledgement. Raises `Refusal` if one is missing."""
        expected = len(self.sent)
        for line in lines:
            self._send_one(line)
            expected += 1
            self._producer.poll(0)
        self._producer.flush(ANSWER_SECONDS)
        if len(self.sent) != expected:
            raise Refusal(f"Kafka took only {len(self.sent)} of {expected} records", Exit.UNREACHABLE)

    def _send_one(self, line: Line) -> None:
        def taken(error: KafkaError | None, message: Message) -> None:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if error is None and topic is not None and partition is not None and offset is not None:
                self.sent.append(Sent(line, topic, partition, offset))

        self._producer.produce(self._topics[line.topic], value=line.value, key=line.key, on_delivery=taken)


class Reader:
    """Consumer of the output topics from their beginning with `read_committed`."""

    def __init__(self, broker: Broker) -> None:
        self._outputs = {broker.topics[output]: output for output in OUTPUTS}
        options = {"group.id": "demo-reader", "isolation.level": "read_committed", "enable.partition.eof": True}
        self._consumer = Consumer({**broker.client, **options, "enable.auto.commit": False, "fetch.wait.max.ms": 100})
        self._partitions = self._read_partitions()
        self._consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in sorted(self._partitions)])
        self._ended: set[tuple[str, int]] = set()
        self.seen: list[Seen] = []

    def _read_partitions(self) -> set[tuple[str, int]]:
        return {
            (topic, partition)
            for topic in self._outputs
            for partition in self._consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
        }

    def poll(self, seconds: float = 0.05) -> None:
        """Read available records, waiting at most so long for the first."""
        for message in self._consumer.consume(1_000, seconds):
            self._take(message)

    def _take(self, message: Message) -> None:
        error = message.error()
        partition = (message.topic() or "", message.partition() or 0)
        if error is None:
            self._ended.discard(partition)
            headers: Any = dict(message.headers() or ())
            self.seen.append(Seen(self._outputs[partition[0]], message.key(), message.value(), headers))
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            self._ended.add(partition)
        elif error.fatal():
            raise KafkaException(error)

    def read_to_end(self) -> list[Seen]:
        """Read all records up to the end. Raises `Refusal` on a timeout."""
        deadline = time.monotonic() + 2 * ANSWER_SECONDS
        while self._ended != self._partitions:
            if time.monotonic() > deadline:
                raise Refusal("the output topics could not be read to their end", Exit.UNREACHABLE)
            self.poll()
        return self.seen

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()
