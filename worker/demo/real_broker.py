"""A Kafka that runs elsewhere, with topics and a group of the demo's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from worker import addresses
from worker.demo.broker import ANSWER_SECONDS, QUIET, Broker, clean_environment
from worker.errors import Exit, Refusal
from worker.kafka.sasl import token_provider
from worker.settings import PREFIX, Settings
from worker.settings import Kafka as KafkaSettings

CREATE_SECONDS = 60.0
UNKNOWN_LIFETIME_SECONDS = 60.0
"""Of a token whose expiry is not known; librdkafka needs one."""


@contextmanager
def real_broker(bootstrap_servers: str) -> Iterator[Broker]:
    """Use a Kafka that runs elsewhere: topics with a unique prefix, removed at the end.

    The worker's own settings provide the credentials. Raises `Refusal` if Kafka does not respond.
    """
    try:
        bootstrap_servers = addresses.bootstrap_servers(bootstrap_servers)
    except ValueError as error:
        raise Refusal(f"--bootstrap-servers {error}", Exit.USAGE) from None
    kafka = Settings.read().kafka.model_copy(update={"bootstrap_servers": bootstrap_servers})
    client = librdkafka_options(kafka)
    admin = _admin(client)
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
    """Return the connection options of librdkafka."""
    options = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": _revealed(kafka.sasl_password),
        "ssl.ca.location": kafka.ssl_cafile,
        "ssl.certificate.location": kafka.ssl_certfile,
        "ssl.key.location": kafka.ssl_keyfile,
        "ssl.key.password": _revealed(kafka.ssl_key_password),
    }
    if kafka.sasl_mechanism == "GSSAPI":
        options["sasl.kerberos.service.name"] = kafka.sasl_kerberos_service_name
    given: dict[str, Any] = {name: str(value) for name, value in options.items() if value is not None}
    if kafka.sasl_mechanism == "OAUTHBEARER":
        given["oauth_cb"] = _token_callback(kafka)
    return given | QUIET


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _token_callback(kafka: KafkaSettings) -> Callable[[str], tuple[str, float, str, dict[str, str]]]:
    """Return a callback that gives librdkafka the token, when it expires, no principal, and the extensions."""
    provider = token_provider(kafka)

    def token(_: str) -> tuple[str, float, str, dict[str, str]]:
        value = provider.read()
        lifetime = provider.valid_seconds or UNKNOWN_LIFETIME_SECONDS
        return value, time.time() + lifetime, "", provider.extensions()

    return token


def _admin(client: dict[str, Any]) -> AdminClient:
    try:
        return AdminClient(client)
    except KafkaException as error:  # such as a SASL mechanism that librdkafka was built without
        raise Refusal(
            f"the demo's Kafka client cannot be created ({error.args[0].str()}). Use other KAFKA__ settings; without "
            "--bootstrap-servers the demo needs none",
            Exit.CONFIGURATION,
        ) from None


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
    of_sign_in = (f"{PREFIX}KAFKA__", f"{PREFIX}SECRETS_DIR")
    sign_in = {name: value for name, value in os.environ.items() if name.upper().startswith(of_sign_in)}
    own = {
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA__GROUP_ID": prefix,
        "TOPICS__SIGNUP": f"{prefix}.customer.signup",
        "TOPICS__CANCELLATION": f"{prefix}.customer.cancellation",
        "TOPICS__CHURNED": f"{prefix}.customer.churned",
    }
    return sign_in | {PREFIX + name: value for name, value in own.items()}


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
    """Remove topics and group, ignoring those that do not exist."""
    removals = [*admin.delete_topics(list(broker.topics.values())).values()]
    removals += admin.delete_consumer_groups([group]).values()
    for removal in removals:
        try:
            removal.result(timeout=ANSWER_SECONDS)
        except KafkaException:
            continue
