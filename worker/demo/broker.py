"""The Kafka cluster of the demo, and the in-process one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

from worker.errors import Exit, Refusal
from worker.settings import PREFIX

ANSWER_SECONDS = 10.0
QUIET: dict[str, Any] = {"log_level": 0, "log.connection.close": False}
"""Librdkafka's own log goes past Python to standard error."""


@dataclass(frozen=True)
class Broker:
    """A Kafka cluster for the demo.

    `client` has the connection options of librdkafka, `environment` the same as settings of the worker, with its topics
    and group; `worker_command` starts a worker on it.
    """

    client: Mapping[str, Any]
    environment: Mapping[str, str]
    worker_command: tuple[str, ...]
    prefix: str = ""
    topics: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        signup, cancellation = f"{self.prefix}customer.signup", f"{self.prefix}customer.cancellation"
        names = {
            "signup": signup,
            "cancellation": cancellation,
            "churned": f"{self.prefix}customer.churned",
            "signup-dlt": f"{signup}-dlt",
            "cancellation-dlt": f"{cancellation}-dlt",
        }
        object.__setattr__(self, "topics", names)


@contextmanager
def in_process_broker() -> Iterator[Broker]:
    """Run librdkafka's mock cluster, which serves Kafka's protocol in a thread of this process, in memory."""
    keeper = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, **QUIET})
    address = _address(keeper)
    broker = Broker(
        client={"bootstrap.servers": address, **QUIET},
        environment={f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS": address},
        worker_command=(sys.executable, "-m", "worker.demo.on_mock", "run"),
    )
    for name in broker.topics.values():
        keeper.list_topics(name, timeout=ANSWER_SECONDS)  # requesting the metadata of a topic creates it
    yield broker
    del keeper  # the cluster stops with its client


def _address(keeper: Producer) -> str:
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        if brokers := keeper.list_topics(timeout=ANSWER_SECONDS).brokers.values():
            return ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    raise Refusal("the in-process broker did not start; run the demo on a real one with --bootstrap-servers", Exit.NO)


def clean_environment() -> dict[str, str]:
    """Return the environment of this process without settings of the worker."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
