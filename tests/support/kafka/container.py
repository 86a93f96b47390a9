"""Kafka in Docker, by testcontainers: one container a broker, all on one network of their own."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.network import Network

from tests.support.containers.docker_engine import docker_answers
from tests.support.kafka.cluster import Node, ToolFailed, wait_until_ready
from tests.support.kafka.local import CLUSTER_ID, free_ports, replication

IMAGE = "apache/kafka:4.3.1"
CLIENT_PORT, INTERNAL_PORT, CONTROLLER_PORT = 9092, 29092, 29093


class DockerUnavailable(Exception):
    """No engine answers, or it cannot run the image; the message says so as a part of a sentence."""


class ContainerNode:
    """One broker as a container."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container

    def pause(self) -> None:
        """Freeze every process of the container."""
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        """Let the frozen container go on."""
        self._container.get_wrapped_container().unpause()

    def stop(self) -> None:
        """Let the broker hand over and end; its data stays."""
        self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        """Kill the container; its data stays."""
        self._container.get_wrapped_container().kill()

    def restart(self) -> None:
        """Start the killed container again on its data."""
        self._container.get_wrapped_container().start()


class ContainerKafka:
    """A cluster of containers."""

    def __init__(self, bootstrap_servers: str, containers: Sequence[DockerContainer]) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.nodes: Sequence[Node] = [ContainerNode(container) for container in containers]
        self._first = containers[0]

    def tool(self, main_class: str, *arguments: str) -> str:
        """Run a Kafka tool inside the first container, where the brokers have their internal addresses."""
        inside = ["--bootstrap-server", f"{_name(1)}:{INTERNAL_PORT}"]
        command = ["/opt/kafka/bin/kafka-run-class.sh", main_class, *inside, *arguments]
        done = self._first.exec(shlex.join(command))
        said = done.output.decode(errors="replace")
        if done.exit_code != 0:
            raise ToolFailed(f"{main_class} ended with {done.exit_code}:\n{said}")
        return said


@contextmanager
def container_kafka(brokers: int) -> Iterator[ContainerKafka]:
    """Run `brokers` brokers until the block ends; raises `DockerUnavailable` where no engine can."""
    if not docker_answers():
        raise DockerUnavailable("no Docker engine answers")
    with ExitStack() as cleanup:
        host = DockerClient().host()
        ports = free_ports(brokers)
        try:
            network = cleanup.enter_context(Network())
            containers = [_container(number, host, ports, network) for number in range(1, brokers + 1)]
            for container in containers:
                cleanup.enter_context(container)
        except DockerException as refused:
            raise DockerUnavailable(f"Docker could not run {IMAGE}: {refused}") from refused
        bootstrap_servers = ",".join(f"{host}:{port}" for port in ports)
        wait_until_ready(bootstrap_servers, brokers)
        yield ContainerKafka(bootstrap_servers, containers)


def _container(number: int, host: str, ports: Sequence[int], network: Network) -> DockerContainer:
    copies = replication(len(ports))
    voters = ",".join(f"{node}@{_name(node)}:{CONTROLLER_PORT}" for node in range(1, len(ports) + 1))
    settings = {
        "CLUSTER_ID": CLUSTER_ID,
        "KAFKA_HEAP_OPTS": "-Xmx1g",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": number,
        "KAFKA_CONTROLLER_QUORUM_VOTERS": voters,
        "KAFKA_LISTENERS": f"CLIENT://:{CLIENT_PORT},INTERNAL://:{INTERNAL_PORT},CONTROLLER://:{CONTROLLER_PORT}",
        # Two ways in, since a test outside and a broker inside know this one by different names.
        "KAFKA_ADVERTISED_LISTENERS": f"CLIENT://{host}:{ports[number - 1]},INTERNAL://{_name(number)}:{INTERNAL_PORT}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INTERNAL",
        "KAFKA_DEFAULT_REPLICATION_FACTOR": copies["replicas"],
        "KAFKA_MIN_INSYNC_REPLICAS": copies["in_sync"],
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": copies["replicas"],
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": 4,
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": copies["replicas"],
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": copies["in_sync"],
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": 4,
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": copies["replicas"],
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": copies["in_sync"],
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": 0,
        "KAFKA_NUM_PARTITIONS": 8,
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }
    container = DockerContainer(IMAGE).with_network(network).with_network_aliases(_name(number))
    container = container.with_bind_ports(CLIENT_PORT, ports[number - 1])
    for name, value in settings.items():
        container = container.with_env(name, str(value))
    return container


def _name(number: int) -> str:
    return f"kafka-{number}"
