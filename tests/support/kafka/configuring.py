"""Configuration of topics, as an operator alters it."""

import time

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

SHOWN_LIMIT_S = 30.0


def configure(bootstrap_servers: str, topic: str, name: str, value: str) -> None:
    """Set one of a topic's settings, as `kafka-configs.sh` does, and wait until brokers show it."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)
    asked = ConfigResource(ConfigResource.Type.TOPIC, topic)
    deadline = time.monotonic() + SHOWN_LIMIT_S
    while admin.describe_configs([asked])[asked].result(30)[name].value != value:
        assert time.monotonic() < deadline, f"{topic} does not show {name}={value}"
