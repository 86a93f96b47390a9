"""The Kafka that the story plays on: one inside this process, or a real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from worker import addresses
from worker.errors import Exit, Refusal
from worker.settings import PREFIX, Settings
from worker.settings import Kafka as KafkaSettings

ANSWER_SECONDS = 10.0
CREATE_SECONDS = 60.0
QUIET: dict[str, Any] = {"log_level": 0, "log.connection.close": False}
"""Librdkafka's own log goes past Python to standard error."""


@dataclass(frozen=True)
class Broker:
    """Where the story plays.

    `client` is the connection as librdkafka takes it, `environment` the same for the worker, with its topics and
    group; `worker_command` starts a worker there.
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
    """Librdkafka's mock cluster: Kafka's protocol, spoken by a thread of this process, and nothing kept."""
    keeper = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, **QUIET})
    address = _address(keeper)
    broker = Broker(
        client={"bootstrap.servers": address, **QUIET},
        environment={f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS": address},
        worker_command=(sys.executable, "-m", "worker.demo.on_mock", "run"),
    )
    for name in broker.topics.values():
        keeper.list_topics(name, timeout=ANSWER_SECONDS)  # to ask for a topic is to create it
    yield broker
    del keeper  # the cluster lives as long as its client


def _address(keeper: Producer) -> str:
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        if brokers := keeper.list_topics(timeout=ANSWER_SECONDS).brokers.values():
            return ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    raise Refusal("the in-process broker did not start; run the demo on a real one with --bootstrap-servers", Exit.NO)


@contextmanager
def real_broker(bootstrap_servers: str) -> Iterator[Broker]:
    """A Kafka that runs elsewhere: topics with a prefix of their own, removed at the end.

    How to sign in comes from the worker's own settings. Raises `Refusal` when it does not answer.
    """
    try:
        bootstrap_servers = addresses.bootstrap_servers(bootstrap_servers)
    except ValueError as error:
        raise Refusal(f"--bootstrap-servers {error}", Exit.USAGE) from None
    kafka = Settings.read().kafka.model_copy(update={"bootstrap_servers": bootstrap_servers})
    client = librdkafka_options(kafka)
    admin = AdminClient(client)
    replication = min(3, _brokers(admin, bootstrap_servers))
    prefix = f"demo-{uuid.uuid4().hex[:8]}"
    broker = Broker(
        client=client,
        environment=_environment(bootstrap_servers, prefix),
        worker_command=(sys.executable, "-m", "worker", "run"),
        prefix=f"{prefix}.",
    )
    try:
        _create_topics(broker, replication)
        yield broker
    finally:
        _remove(admin, broker, prefix)


def librdkafka_options(kafka: KafkaSettings) -> dict[str, Any]:
    """The connection settings as librdkafka takes them."""
    password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
    options = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": password,
        "ssl.ca.location": kafka.ssl_cafile,
        "ssl.certificate.location": kafka.ssl_certfile,
        "ssl.key.location": kafka.ssl_keyfile,
    }
    return {name: str(value) for name, value in options.items() if value is not None} | QUIET


def _brokers(admin: AdminClient, bootstrap_servers: str) -> int:
    try:
        return len(admin.list_topics(timeout=ANSWER_SECONDS).brokers)
    except KafkaException as error:
        raise Refusal(
            f"Kafka cannot be reached at {bootstrap_servers} ({error.args[0].str()}). Check that it runs there; "
            "without --bootstrap-servers the demo needs none",
            Exit.UNREACHABLE,
        ) from None


def _environment(bootstrap_servers: str, prefix: str) -> dict[str, str]:
    sign_in = {name: value for name, value in os.environ.items() if name.upper().startswith(f"{PREFIX}KAFKA__")}
    own = {
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA__GROUP_ID": prefix,
        "TOPICS__SIGNUP": f"{prefix}.customer.signup",
        "TOPICS__CANCELLATION": f"{prefix}.customer.cancellation",
        "TOPICS__CHURNED": f"{prefix}.customer.churned",
    }
    return sign_in | {PREFIX + name: value for name, value in own.items()}


def clean_environment() -> dict[str, str]:
    """This process's environment without any setting of the worker."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}


def _create_topics(broker: Broker, replication: int) -> None:
    command = [
        sys.executable,
        "-m",
        "worker",
        "topics",
        "create",
        "--partitions",
        "4",
        "--replication",
        str(replication),
    ]
    environment = clean_environment() | dict(broker.environment)
    done = subprocess.run(  # noqa: S603 - our own command line
        command, env=environment, capture_output=True, text=True, timeout=CREATE_SECONDS, check=False
    )
    if done.returncode:
        raise Refusal(f"the demo's topics could not be created: {done.stderr.strip()}", Exit.NO)


def _remove(admin: AdminClient, broker: Broker, group: str) -> None:
    """Topics and group go; what never came to be is no error."""
    removals = [*admin.delete_topics(list(broker.topics.values())).values()]
    removals += admin.delete_consumer_groups([group]).values()
    for removal in removals:
        try:
            removal.result(timeout=ANSWER_SECONDS)
        except KafkaException:
            continue
