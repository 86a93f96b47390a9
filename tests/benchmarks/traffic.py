"""The input of the contestants: signups, and cancellations of every second customer."""

from __future__ import annotations

import datetime as dt
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

PARTITIONS = 8
_INDUSTRIES = ("FinTech", "HealthTech", "LegalTech", "HR Tech", "EdTech", "Other")
_TIERS = ("starter", "growth", "enterprise", "custom")
Headers = list[tuple[str, str | bytes | None]]


@dataclass(frozen=True)
class Topics:
    """The topics of one contest, told apart by a prefix."""

    prefix: str

    @property
    def signup(self) -> str:
        return f"{self.prefix}customer.signup"

    @property
    def cancellation(self) -> str:
        return f"{self.prefix}customer.cancellation"

    @property
    def churned(self) -> str:
        return f"{self.prefix}customer.churned"

    @property
    def every(self) -> tuple[str, ...]:
        return self.signup, self.cancellation, self.churned, f"{self.signup}-dlt", f"{self.cancellation}-dlt"


def create(bootstrap_servers: str, topics: Topics) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for created in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in topics.every]).values():
        created.result(30)


def headers(kind: str, number: int) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{kind}-{number}".encode()),
        ("ce_source", b"/billing"),
        ("ce_type", f"customer.{kind}".encode()),
        ("ce_time", b"2026-11-01T00:00:00Z"),
        ("content-type", b"application/json"),
    ]


def signup(customer_id: str, rng: random.Random) -> bytes:
    return json.dumps(
        {
            "customer_id": customer_id,
            "industry": rng.choice(_INDUSTRIES),
            "plan_tier": rng.choice(_TIERS),
            "signup_date": str(dt.date(2024, 1, 1) + dt.timedelta(days=rng.randrange(700))),
            "mrr": {"amount": f"{rng.randrange(1000, 500_000) / 100:.2f}", "currency": "USD"},
        },
        separators=(",", ":"),
    ).encode()


def cancellation(customer_id: str) -> bytes:
    body = {"customer_id": customer_id, "cancellation_date": "2026-11-01", "reason": "too_expensive"}
    return json.dumps(body, separators=(",", ":")).encode()


def customer_ids(count: int) -> Iterator[str]:
    rng = random.Random(7)
    return (str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(count))


def produce(bootstrap_servers: str, topics: Topics, customers: int) -> None:
    """Send `customers` signups, then half as many cancellations, keyed by customer."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "linger.ms": 20,
            "batch.size": 1 << 20,
            "queue.buffering.max.messages": 2_000_000,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
        }
    )
    rng = random.Random(8)
    for number, customer_id in enumerate(customer_ids(customers)):
        value = signup(customer_id, rng)
        _send(producer, topics.signup, customer_id, value, headers("signup", number))
    producer.flush()
    for number, customer_id in enumerate(customer_ids(customers)):
        if number % 2 == 0:
            value = cancellation(customer_id)
            _send(producer, topics.cancellation, customer_id, value, headers("cancellation", number))
    assert producer.flush(120) == 0


def _send(producer: Producer, topic: str, customer_id: str, value: bytes, headers: Headers) -> None:
    while True:
        try:
            producer.produce(topic, value, customer_id.encode(), headers=headers)
        except BufferError:  # the broker takes them more slowly than they are made
            producer.poll(1.0)
        else:
            return
