"""Latency from a cancellation to its event, visible to a `read_committed` consumer, at a steady rate."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, Producer

from tests.benchmarks import traffic
from tests.benchmarks.contest import STOP_LIMIT_S, reader_at_the_end
from tests.benchmarks.contestants import Contestant

WARM_LIMIT_S = 90.0
WARM_PAIRS_S = 3
PAUSE_PAIRS = 50  # how many signups a cancellation comes after its own
ALL_SEEN_LIMIT_S = 30.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds from sending a cancellation to seeing its event; `pairs` were sent and all were seen."""

    p50_ms: float
    p99_ms: float
    pairs: int


def measure(
    bootstrap_servers: str, topics: traffic.Topics, contestant: Contestant, rate: int, seconds: int, log: Path
) -> Latency:
    """Start the contestant, wait until it answers, then send `rate` pairs a second."""
    reader = _Reader(reader_at_the_end(bootstrap_servers, contestant.output))
    sender = _Sender(bootstrap_servers, topics)
    with log.open("wb") as output:
        process = subprocess.Popen(
            contestant.command, env={**os.environ, **contestant.environment}, stdout=output, stderr=output
        )
    try:
        _wait_for_an_answer(sender, reader)
        sender.send_pairs(rate, WARM_PAIRS_S)
        sent = sender.send_pairs(rate, seconds)
        deadline = time.monotonic() + ALL_SEEN_LIMIT_S
        while not sent.keys() <= reader.seen.keys():
            assert time.monotonic() < deadline, f"{len(sent.keys() - reader.seen.keys())} events were never seen"
            time.sleep(0.05)
    finally:
        reader.close()
        process.terminate()
        process.wait(STOP_LIMIT_S)
    took = sorted(reader.seen[customer_id] - began for customer_id, began in sent.items())
    return Latency(took[len(took) // 2] * 1e3, took[len(took) * 99 // 100] * 1e3, len(took))


class _Sender:
    def __init__(self, bootstrap_servers: str, topics: traffic.Topics) -> None:
        self._topics = topics
        self._rng = random.Random(9)
        self._producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "partitioner": "murmur2_random"}
        )

    def sign_up(self) -> str:
        customer_id = str(uuid.uuid4())
        value = traffic.signup(customer_id, self._rng)
        self._send(self._topics.signup, customer_id, value, traffic.headers("signup", 0))
        return customer_id

    def cancel(self, customer_id: str) -> float:
        began = time.perf_counter()
        value = traffic.cancellation(customer_id)
        self._send(self._topics.cancellation, customer_id, value, traffic.headers("cancellation", 0))
        return began

    def send_pairs(self, rate: int, seconds: int) -> dict[str, float]:
        """When each cancellation was sent, by customer."""
        sent: dict[str, float] = {}
        waiting: list[str] = []
        due = time.perf_counter()
        for _ in range(rate * seconds):
            waiting.append(self.sign_up())
            if len(waiting) > PAUSE_PAIRS:
                customer_id = waiting.pop(0)
                sent[customer_id] = self.cancel(customer_id)
            due += 1 / rate
            time.sleep(max(0.0, due - time.perf_counter()))
        self._producer.flush(30)
        return sent

    def _send(self, topic: str, key: str, value: bytes, headers: traffic.Headers) -> None:
        self._producer.produce(topic, value, key.encode(), headers=headers)
        self._producer.poll(0)


class _Reader:
    """Notes when each customer's event came in."""

    def __init__(self, consumer: Consumer) -> None:
        self.seen: dict[str, float] = {}
        self._consumer = consumer
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._consumer.close()

    def _read(self) -> None:
        while not self._over.is_set():
            for message in self._consumer.consume(100, 0.005):
                if message.error() is None:
                    self.seen.setdefault((message.key() or b"").decode(), time.perf_counter())


def _wait_for_an_answer(sender: _Sender, reader: _Reader) -> None:
    deadline = time.monotonic() + WARM_LIMIT_S
    while not reader.seen:
        assert time.monotonic() < deadline, f"no event within {WARM_LIMIT_S:.0f} s"
        customer_id = sender.sign_up()
        time.sleep(0.2)
        sender.cancel(customer_id)
        time.sleep(0.3)
