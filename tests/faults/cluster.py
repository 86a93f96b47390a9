"""Three brokers with a proxy before each: the worker comes through the proxies, everyone else directly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from tests.faults.proxy import Doors
from tests.kafka.cluster import Kafka, wait_until_ready
from tests.kafka.local import Door, free_ports, local_kafka

BROKERS = 3
COORDINATOR_PARTITIONS = 4  # as `tests/kafka/local.py` sets it, for transactions as for groups


@dataclass
class Cluster:
    """The brokers. `kafka.bootstrap_servers` leads to them directly, `doors.addresses` through the proxies."""

    kafka: Kafka
    doors: Doors

    def __post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})

    def transaction_coordinator(self, transactional_id: str) -> int:
        """Which broker keeps the transactions of this id, as an index into `kafka.nodes`."""
        return self.leader("__transaction_state", _java_hash(transactional_id) % COORDINATOR_PARTITIONS)

    def group_coordinator(self, group: str) -> int:
        """Which broker keeps this group."""
        return self.leader("__consumer_offsets", _java_hash(group) % COORDINATOR_PARTITIONS)

    def leader(self, topic: str, partition: int) -> int:
        """Which broker leads this partition."""
        found: int = self.admin.list_topics(topic, timeout=30).topics[topic].partitions[partition].leader
        return found - 1

    def wait_until_whole(self, limit_s: float = 90.0) -> None:
        """Until all brokers are there again."""
        wait_until_ready(self.kafka.bootstrap_servers, BROKERS, limit_s)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start three brokers and their proxies; ends them with the block."""
    behind = free_ports(BROKERS)
    doors = Doors(behind)
    try:
        with local_kafka(BROKERS, [Door(*pair) for pair in zip(behind, doors.ports, strict=True)]) as kafka:
            yield Cluster(kafka, doors)
    finally:
        doors.close()


def _java_hash(text: str) -> int:
    """`String.hashCode`, without its sign, as Kafka's brokers take it."""
    code = 0
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        code = (31 * code + unit) & 0xFFFFFFFF
    return code & 0x7FFFFFFF
