"""The interface of a Kafka to the tests, however it is run."""

import time
from collections.abc import Sequence
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

READY_LIMIT_S = 90.0


class Node(Protocol):
    """One broker that a test may hurt."""

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""

    def resume(self) -> None:
        """End a pause."""

    def stop(self) -> None:
        """Let it hand over what it leads and end, as an upgrade would."""

    def kill(self) -> None:
        """End it at once, as a power cut would."""

    def restart(self) -> None:
        """Start it again on the data it had; does not wait for it to be ready."""


class Kafka(Protocol):
    """A running Kafka. `nodes` is empty where the tests were given an address: nothing there is theirs to hurt."""

    bootstrap_servers: str

    @property
    def nodes(self) -> Sequence[Node]:
        """The brokers."""

    def tool(self, main_class: str, *arguments: str) -> str:
        """Run one of Kafka's own Java tools on these brokers and give what it printed.

        The address comes first (`--bootstrap-server`), then `arguments`. Raises `ToolFailed` where it ends badly.
        """


class ToolFailed(AssertionError):
    """A Kafka tool ended with an error; the message is what it printed."""


def wait_until_ready(bootstrap_servers: str, brokers: int = 1, limit_s: float = READY_LIMIT_S) -> None:
    """Ask for metadata until the wanted number of brokers is in it; raises `TimeoutError` after `limit_s`."""
    # Its own complaints about refused connections are what is being waited out, so they are not printed.
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 250})
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            if len(admin.list_topics(timeout=1).brokers) >= brokers:
                return
        except KafkaException:
            continue
        time.sleep(0.1)  # fewer brokers than wanted answered at once: ask again, but not in a spin
    raise TimeoutError(f"Kafka at {bootstrap_servers} did not show {brokers} broker(s) within {limit_s:.0f} s")
