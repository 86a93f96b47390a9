"""Puts records on Kafka as raw bytes, with any codec, partitioned as the Java client would."""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Delivery

from tests.support.records import Message, Topics

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
SEND_LIMIT_S = 120


def produce(bootstrap_servers: str, topics: Topics, messages: Iterable[Message], codec: str = "none") -> None:
    """Send all of them in order and wait until Kafka has them; raises `AssertionError` where it refused one."""
    send(raw_producer(bootstrap_servers, codec), topics, messages)


def raw_producer(bootstrap_servers: str, codec: str = "none") -> Producer:
    """Return a producer that changes nothing, refuses nothing, and keeps the order."""
    return Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": codec,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,  # keeps the order within a partition also across retries
            "message.max.bytes": 16_000_000,  # the broker decides what is too large, not this client
            "queue.buffering.max.messages": 1_000_000,
            "linger.ms": 20,
            "log_level": 2,  # a coordinator that is still loading is no news
        }
    )


def send(producer: Producer, topics: Topics, messages: Iterable[Message]) -> None:
    """Send all of them in order and wait until Kafka has them; raises `AssertionError` where it refused one."""
    refused: list[str] = []
    enqueue(producer, topics, messages, refused)
    finish(producer, refused)


def enqueue(producer: Producer, topics: Topics, messages: Iterable[Message], refused: list[str]) -> None:
    """Let the producer send all of them in order; what Kafka refuses is added to `refused`."""

    def noted(error: KafkaError | None, delivery: Delivery) -> None:
        if error is not None:
            refused.append(f"{delivery.topic()}: {error.str()}")

    for number, message in enumerate(messages):
        where: dict[str, Any] = {} if message.partition is None else {"partition": message.partition}
        producer.produce(
            topics.of(message.kind),
            message.value,
            message.key,
            headers=list(message.headers),
            on_delivery=noted,
            **where,
        )
        if number % 10_000 == 0:
            producer.poll(0)


def finish(producer: Producer, refused: list[str]) -> None:
    """Wait until Kafka has all that is enqueued; raises `AssertionError` where it refused a record."""
    unsent = producer.flush(SEND_LIMIT_S)
    assert not refused, refused[:5]
    assert unsent == 0
