"""The servers that all processes of one test run share: the first test that needs one starts it, in the controller.

Tests on a shared server keep to names of their own: topics, groups, transactional ids. A test that stops,
freezes or restarts a server runs one of its own.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from tests.support.kafka.broker import GivenKafka, running_kafka
from tests.support.kafka.cluster import Kafka, Node
from tests.support.kafka.secured import SecuredKafka, secured_kafka

CREATING = "auto.create.topics.enable=true\nmessage.max.bytes=8388608\n"
QUIET_WEEK = """\
connections.max.idle.ms=1000
transactional.id.expiration.ms=3000
transaction.remove.expired.transaction.cleanup.interval.ms=500
"""
_SERVERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "kafka": running_kafka,
    "secured": secured_kafka,
    "creating": partial(secured_kafka, CREATING),
    "forgetful": partial(secured_kafka, QUIET_WEEK),
}


class Servers:
    """The servers of this process."""

    def __init__(self, cleanup: ExitStack) -> None:
        self._cleanup = cleanup
        self._running: dict[str, Any] = {}
        self._locks = {name: threading.Lock() for name in _SERVERS}

    def kafka(self) -> str:
        """Return the address of the Kafka without access control."""
        kafka: Kafka = self._get("kafka")
        return kafka.bootstrap_servers

    def tool(self, main_class: str, *arguments: str) -> str:
        """Run a tool on that Kafka."""
        kafka: Kafka = self._get("kafka")
        return kafka.tool(main_class, *arguments)

    def secured(self, name: str) -> tuple[str, int]:
        """Return the address of a Kafka with access control, and the port of its SASL listener."""
        secured: SecuredKafka = self._get(name)
        return secured.kafka.bootstrap_servers, secured.sasl_port

    def _get(self, name: str) -> Any:
        with self._locks[name]:
            if name not in self._running:
                self._running[name] = self._cleanup.enter_context(_SERVERS[name]())
            return self._running[name]


Call = Callable[..., Any]
"""Calls a method of `Servers` by its name, in this process or in the controller."""


@contextmanager
def local_servers() -> Iterator[Call]:
    """Run the servers in this process; those that were started end with the block."""
    with ExitStack() as cleanup:
        servers = Servers(cleanup)
        yield lambda method, *arguments: getattr(servers, method)(*arguments)


@contextmanager
def listening(call: Call) -> Iterator[tuple[str, str]]:
    """Serve calls of other processes until the block ends; gives the address and the key for `remote_servers`."""
    key = secrets.token_bytes(32)
    with tempfile.TemporaryDirectory(prefix="servers-") as directory:
        address = str(Path(directory) / "socket")
        with Listener(address, "AF_UNIX", backlog=64, authkey=key) as listener:
            threading.Thread(target=_accept, args=(listener, call), daemon=True).start()
            yield address, key.hex()


def _accept(listener: Listener, call: Call) -> None:
    with suppress(OSError):  # closed
        while True:
            threading.Thread(target=_answer, args=(listener.accept(), call), daemon=True).start()


def _answer(connection: Connection, call: Call) -> None:
    with connection:
        method, arguments = connection.recv()
        try:
            connection.send((call(method, *arguments), None))
        except Exception as error:  # noqa: BLE001 - it is raised in the process that called
            connection.send((None, error))


def remote_servers(address: str, key: str) -> Call:
    """Call the servers of the process that listens there."""

    def call(method: str, *arguments: str) -> Any:
        with Client(address, "AF_UNIX", authkey=bytes.fromhex(key)) as connection:
            connection.send((method, arguments))
            result, error = connection.recv()
        if error is not None:
            raise error
        return result

    return call


class SharedKafka:
    """The shared Kafka without access control; no test may stop its nodes."""

    nodes: Sequence[Node] = ()

    def __init__(self, call: Call) -> None:
        self._call = call
        self.bootstrap_servers: str = call("kafka")

    def tool(self, main_class: str, *arguments: str) -> str:
        """Run a Kafka tool on it."""
        said: str = self._call("tool", main_class, *arguments)
        return said


def shared_secured_kafka(call: Call, name: str) -> SecuredKafka:
    """Connect to a shared Kafka with access control: `secured`, `creating` or `forgetful`."""
    address, sasl_port = call("secured", name)
    return SecuredKafka(GivenKafka(address), sasl_port)
