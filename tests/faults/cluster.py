"""Three brokers, and PostgreSQL where that is the store: workers come through proxies, everyone else directly."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.faults.database import Database, running_database
from tests.faults.proxy import Doors, at_port
from tests.support.kafka.cluster import wait_until_ready
from tests.support.kafka.local import Door, LocalKafka, free_ports, local_kafka

ASK_EVERY_S = 0.1
USER, PASSWORD = "worker", "worker-password"
BROKERS = 3
MANY_WORKERS = 3
LOGGING = Path(__file__).with_name("log4j2.properties")
COORDINATOR_PARTITIONS = 4  # as `tests/support/kafka/local.py` sets it, for transactions as for groups


def _properties(doors: int) -> str:
    """Return the settings of the brokers.

    Workers are authenticated and have every right that is not denied; everyone else is the administrator. Indexes
    are small enough to be allocated on a small disk.
    """
    protocols = "".join(f",DOOR{number}:SASL_PLAINTEXT" for number in range(doors))
    logins = "".join(
        f"listener.name.door{number}.plain.sasl.jaas.config="
        f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";\n'
        for number in range(doors)
    )
    return (
        f"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n"
        f"sasl.enabled.mechanisms=PLAIN\n{logins}"
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
        "allow.everyone.if.no.acl.found=true\nsuper.users=User:ANONYMOUS\n"
        "log.index.size.max.bytes=65536\n"
        # How often transactions are looked at that have run out of time: 10 s by default.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n"
    )


@dataclass
class Cluster:
    """The brokers. `kafka.bootstrap_servers` leads to them directly; each worker has a way of its own, by proxies.

    `database` is where the store is PostgreSQL, which many workers share; without it there is one worker on DuckDB.
    """

    kafka: LocalKafka
    ways: Sequence[Doors]
    database: Database | None = None

    @property
    def login(self) -> dict[str, str]:
        """A worker's settings for its way, without the prefix."""
        return {
            "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA__SASL_MECHANISM": "PLAIN",
            "KAFKA__SASL_USERNAME": USER,
            "KAFKA__SASL_PASSWORD": PASSWORD,
        }

    def __post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})

    def transaction_coordinator(self, transactional_id: str) -> int:
        """Return the transaction coordinator of this id, as an index into `kafka.nodes`."""
        return self.leader("__transaction_state", _java_hash(transactional_id) % COORDINATOR_PARTITIONS)

    def group_coordinator(self, group: str) -> int:
        """Return the coordinator of this group, as an index into `kafka.nodes`."""
        return self.leader("__consumer_offsets", _java_hash(group) % COORDINATOR_PARTITIONS)

    def leader(self, topic: str, partition: int) -> int:
        """Return the leader of this partition, as an index into `kafka.nodes`."""
        found: int = self.admin.list_topics(topic, timeout=30).topics[topic].partitions[partition].leader
        return found - 1

    def in_sync(self, topic: str) -> set[int]:
        """Return the brokers that are in sync on at least one partition of this topic, as indexes."""
        partitions = self.admin.list_topics(topic, timeout=30).topics[topic].partitions.values()
        return {node - 1 for partition in partitions for node in partition.isrs}

    def is_in_sync(self) -> bool:
        """Return whether each partition has all its replicas in sync."""
        topics = self.admin.list_topics(timeout=30).topics.values()
        return all(set(each.isrs) == set(each.replicas) for topic in topics for each in topic.partitions.values())

    def not_in_sync(self, number: int) -> list[TopicPartition]:
        """Return the partitions whose replica on the broker at this index of `kafka.nodes` is not in sync."""
        return [
            TopicPartition(name, each.id)
            for name, topic in self.admin.list_topics(timeout=30).topics.items()
            for each in topic.partitions.values()
            if number + 1 in set(each.replicas) - set(each.isrs)
        ]

    def prefer_leaders(self) -> None:
        """Let each partition be led by its first replica again, as a controller does every five minutes."""
        with suppress(KafkaException):  # which it is for each partition that is led by it already
            self.admin.elect_leaders(ElectionType.PREFERRED).result(30)

    def wait_for(self, condition: Callable[[], bool], what: str, limit_s: float) -> None:
        """Ask Kafka until the condition holds."""
        deadline = time.monotonic() + limit_s
        while not _holds(condition):
            assert time.monotonic() < deadline, f"not {what} within {limit_s:.0f} s"
            time.sleep(ASK_EVERY_S)

    def wait_until_whole(self, limit_s: float = 90.0) -> None:
        """Until all brokers are there again."""
        wait_until_ready(self.kafka.bootstrap_servers, BROKERS, limit_s)

    def wait_until_in_sync(self, limit_s: float = 90.0) -> None:
        """Until all brokers are there again, and all replicas in sync."""
        self.wait_until_whole(limit_s)
        self.wait_for(self.is_in_sync, "all replicas in sync", limit_s)


@contextmanager
def running_cluster(*, on_postgres: bool = False) -> Iterator[Cluster]:
    """Start three brokers, PostgreSQL where asked for, and the proxies before them; ends them with the block."""
    workers = MANY_WORKERS if on_postgres else 1
    ports = free_ports(BROKERS * workers)
    behind = [ports[begin : begin + BROKERS] for begin in range(0, len(ports), BROKERS)]
    with ExitStack() as cleanup:
        ways = [Doors([at_port(port) for port in those]) for those in behind]
        for way in ways:
            cleanup.callback(way.close)
        doors = [list(map(Door, those, way.ports)) for those, way in zip(behind, ways, strict=True)]
        kafka = cleanup.enter_context(
            local_kafka(
                BROKERS,
                doors,
                properties=_properties(len(ways)),
                java_options=[f"-Dlog4j2.configurationFile={LOGGING}"],
                disks=2,
            )
        )
        yield Cluster(kafka, ways, cleanup.enter_context(running_database(workers)) if on_postgres else None)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except KafkaException:
        return False  # a broker is away: ask again


def _java_hash(text: str) -> int:
    """`String.hashCode`, without its sign, as Kafka's brokers take it."""
    code = 0
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        code = (31 * code + unit) & 0xFFFFFFFF
    return code & 0x7FFFFFFF
