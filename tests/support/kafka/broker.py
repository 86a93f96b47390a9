"""`running_kafka`: the one way by which tests and benchmarks come to a real Kafka."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.support.kafka.cluster import Kafka, Node, wait_until_ready
from tests.support.kafka.container import DockerUnavailable, container_kafka
from tests.support.kafka.jars import JarsUnavailable
from tests.support.kafka.local import local_kafka
from tests.support.kafka.tool import run_from_jars

ADDRESS = "TEST_KAFKA_BOOTSTRAP_SERVERS"


class GivenKafka:
    """A Kafka that runs elsewhere: its address is all that is known, and its nodes are not the tests' to hurt."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.nodes: Sequence[Node] = ()

    def tool(self, main_class: str, *arguments: str) -> str:
        """Run a Kafka tool from the jars."""
        return run_from_jars(main_class, "--bootstrap-server", self.bootstrap_servers, *arguments)


@contextmanager
def running_kafka(brokers: int = 1, *, is_measured: bool = False) -> Iterator[Kafka]:
    """Give a Kafka that answers, until the block ends.

    From the address in `TEST_KAFKA_BOOTSTRAP_SERVERS`, else from Docker where an engine answers, else from Kafka's
    jars. Three brokers keep three copies of everything and need two of them; one keeps one. An address is taken as it
    is. One that `is_measured` is run as in production, not to be up soon.

    Raises `RuntimeError` with what to install or set where there is none: a test without its Kafka fails, it never
    skips.
    """
    with ExitStack() as cleanup:
        yield _given() or _started(brokers, cleanup, is_measured=is_measured)


def _given() -> Kafka | None:
    address = os.environ.get(ADDRESS)
    if not address:
        return None
    try:
        wait_until_ready(address, limit_s=30)
    except TimeoutError as silent:
        raise RuntimeError(f"{ADDRESS} is set to {address}, but no Kafka answers there.") from silent
    return GivenKafka(address)


def _started(brokers: int, cleanup: ExitStack, *, is_measured: bool) -> Kafka:
    try:
        return cleanup.enter_context(container_kafka(brokers))
    except DockerUnavailable as no_docker:
        try:
            return cleanup.enter_context(local_kafka(brokers, is_measured=is_measured))
        except JarsUnavailable as no_jars:
            raise RuntimeError(
                f"These tests need a real Kafka: {no_docker}, and {no_jars}. "
                f"Start Docker, or install Java 17 and Maven, or set {ADDRESS} to a Kafka that runs."
            ) from no_jars
