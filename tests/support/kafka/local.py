"""Kafka from its jars: one Java process a broker, on free ports of this machine, its data in a temporary directory."""

import fcntl
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from types import MappingProxyType
from typing import NamedTuple

from tests.support.kafka import jars
from tests.support.kafka.cluster import wait_until_ready
from tests.support.kafka.storage import format_storage
from tests.support.kafka.tool import run_from_jars

STOP_LIMIT_S = 60
LOOPBACK = "127.0.0.1"
NEVER_GIVEN = range(15_000, 32_000)
"""Ports below those that Linux, and others, give to outgoing connections."""
# One id is enough: clusters never meet, each has ports and a directory of its own.
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={disks}
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
num.partitions=8
auto.create.topics.enable=false
log.retention.hours=168
"""

DOOR_PROPERTIES = """\
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}{listeners}
advertised.listeners=PLAINTEXT://{host}:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
"""


class Door(NamedTuple):
    """A further way into a broker, for a proxy: where the broker listens, and where it tells clients to come."""

    behind: int
    advertised: int


class LocalNode:
    """One broker as a Java process."""

    def __init__(
        self,
        directory: Path,
        number: int,
        properties: str,
        cluster_id: str,
        options: Sequence[str],
        disks: Sequence[Path],
    ) -> None:
        self._directory = directory
        self.disks = disks
        self._properties = directory / "server.properties"
        self._properties.write_text(properties)
        self._log = directory / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._options = options
        format_storage(disks, self._properties, number, cluster_id)

    @property
    def data(self) -> Path:
        """The directory of its logs, the first if it has several."""
        return self.disks[0]

    @property
    def log(self) -> Path:
        """The file to which it prints."""
        return self._log

    def restart(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """Start the broker on the data it has, with these further variables; it must not be running."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [jars.java(), *self._options, "-Xmx1g", "-cp", jars.classpath(), "kafka.Kafka", str(self._properties)],
                cwd=self._directory,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
            )

    def pause(self) -> None:
        """Freeze the process."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the frozen process go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask the broker to hand over and end, and wait until it has."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(timeout=STOP_LIMIT_S)
        self._process = None

    def kill(self) -> None:
        """Kill the process and wait until it is gone; nothing where it is gone already."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(timeout=30)
        self._process = None

    def says(self) -> str:
        """Return the end of what the broker printed, and whether it still runs."""
        code = None if self._process is None else self._process.poll()
        state = "still running" if code is None else f"ended with {code}"
        return f"{self._directory.name} ({state}):\n{self._log.read_text(errors='replace')[-2000:]}"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError(f"{self._directory.name} is not running")
        os.kill(self._process.pid, number)


class LocalKafka:
    """A cluster of brokers on this machine."""

    def __init__(self, bootstrap_servers: str, nodes: Sequence[LocalNode]) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.nodes = nodes

    def tool(self, main_class: str, *arguments: str) -> str:
        """Run a Kafka tool from the jars."""
        return run_from_jars(main_class, "--bootstrap-server", self.bootstrap_servers, *arguments)


@contextmanager
def local_kafka(
    brokers: int,
    ways: Sequence[Sequence[Door]] = (),
    properties: str = "",
    *,
    is_measured: bool = False,
    java_options: Sequence[str] = (),
    disks: int = 1,
) -> Iterator[LocalKafka]:
    """Run `brokers` brokers until the block ends; raises `jars.JarsUnavailable` where there is no Java or no Maven.

    Each of `ways` has a door a broker, which is a further way in; `bootstrap_servers` is the direct one all the same.
    `properties` are lines for server.properties that override the usual ones; `{port}` and `{controller_port}` in them
    are the node's. Each broker has so many directories for logs, its `disks`.
    """
    archive_classes()
    java_options = [*(() if is_measured else jars.soon_gone()), *java_options]
    with ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="kafka-")))
        ports = free_ports(2 * brokers)
        nodes = [
            _node(directory, number, ports, brokers, [way[number - 1] for way in ways], java_options, properties, disks)
            for number in range(1, brokers + 1)
        ]
        bootstrap_servers = ",".join(f"{LOOPBACK}:{port}" for port in ports[:brokers])
        for node in nodes:
            cleanup.callback(node.kill)
            node.restart()
        try:
            wait_until_ready(bootstrap_servers, brokers)
        except TimeoutError as late:
            raise RuntimeError("\n".join([str(late), *(node.says() for node in nodes)])) from late
        yield LocalKafka(bootstrap_servers, nodes)


def archive_classes() -> None:
    """Write `jars.ARCHIVE` if it is missing: a broker that starts and stops takes 10 s, and each later one 1 s less."""
    jars.classpath()
    with jars.ARCHIVE.with_suffix(".lock").open("w") as lock, ExitStack() as cleanup:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars.ARCHIVE.exists():
            return
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(dir=jars.ARCHIVE.parent)))
        ports = free_ports(2)
        archive = directory / "classes.jsa"
        options = [*jars.soon_gone(), f"-XX:ArchiveClassesAtExit={archive}"]
        node = _node(directory, 1, ports, 1, [], options, "")
        cleanup.callback(node.kill)
        node.restart()
        wait_until_ready(f"{LOOPBACK}:{ports[0]}")
        node.stop()
        archive.rename(jars.ARCHIVE)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now. None of them is one that a connection is given while its server has yet to start."""
    with ExitStack() as held:
        ports: list[int] = []
        for port in SystemRandom().sample(NEVER_GIVEN, len(NEVER_GIVEN)):
            each = held.enter_context(socket.socket())
            with suppress(OSError):
                each.bind((LOOPBACK, port))
                ports.append(port)
            if len(ports) == count:
                return ports
        raise RuntimeError(f"no {count} ports from {NEVER_GIVEN[0]} to {NEVER_GIVEN[-1]} are free")


def _node(
    directory: Path,
    number: int,
    ports: Sequence[int],
    brokers: int,
    doors: Sequence[Door],
    java_options: Sequence[str],
    overrides: str,
    disk_count: int = 1,
) -> LocalNode:
    own = directory / f"node-{number}"
    own.mkdir()
    disks = [own / "data", *(own / f"data-{disk}" for disk in range(2, disk_count + 1))]
    controllers = ports[brokers:]
    properties = SERVER_PROPERTIES.format(
        node=number,
        host=LOOPBACK,
        port=ports[number - 1],
        controller_port=controllers[number - 1],
        voters=",".join(f"{node}@{LOOPBACK}:{port}" for node, port in enumerate(controllers, start=1)),
        disks=",".join(map(str, disks)),
        **replication(brokers),
    )
    if doors:  # of two lines with one name the last one counts
        properties += DOOR_PROPERTIES.format(
            host=LOOPBACK,
            port=ports[number - 1],
            controller_port=controllers[number - 1],
            listeners="".join(f",DOOR{each}://{LOOPBACK}:{door.behind}" for each, door in enumerate(doors)),
            advertised="".join(f",DOOR{each}://{LOOPBACK}:{door.advertised}" for each, door in enumerate(doors)),
            protocols="".join(f",DOOR{each}:PLAINTEXT" for each in range(len(doors))),
        )
    properties += overrides.format(port=ports[number - 1], controller_port=controllers[number - 1])
    return LocalNode(own, number, properties, CLUSTER_ID, java_options, disks)


def replication(brokers: int) -> dict[str, int]:
    """Three brokers keep three copies and need two; fewer keep one."""
    return {"replicas": 3, "in_sync": 2} if brokers >= 3 else {"replicas": 1, "in_sync": 1}
