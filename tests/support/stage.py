"""One test's own world on the shared Kafka: its topics, its group, its store, and the workers it starts."""

import asyncio
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.comparison import require_as_expected
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.tool import reset_offsets
from tests.support.oracle import Expected, expected
from tests.support.producing import produce
from tests.support.reader import CommittedReader, partitions_of, read_committed
from tests.support.records import Message, Record, Topics
from tests.support.store_reader import StoreContent, read_postgres, read_store
from tests.support.worker_process import PREFIX, WorkerProcess, module_command
from worker.kafka.topic_setup import set_up_topics
from worker.settings import Settings

PARTITIONS = 8
JOB_LIMIT_S = 120.0


@dataclass
class Stage:
    """The topics, group, store and workers of a test. `settings` are without the prefix; a test may change them."""

    kafka: Kafka
    directory: Path
    name: str = field(default_factory=lambda: f"t-{uuid.uuid4().hex[:12]}")
    workers: list[WorkerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._expected: Expected | None = None
        self.logs = self.directory
        self.topics = Topics.with_prefix(self.name)
        self.group = f"{self.name}-group"
        self.settings = {
            "KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA__GROUP_ID": self.group,
            "TOPICS__SIGNUP": self.topics.signup,
            "TOPICS__CANCELLATION": self.topics.cancellation,
            "TOPICS__CHURNED": self.topics.churned,
            "STORE__URL": "duckdb:///customers.duckdb",
            "HTTP__ENABLED": "false",
        }

    @property
    def store_file(self) -> Path:
        """The DuckDB file; its write-ahead log lies beside it as `.wal`."""
        return self.directory / "customers.duckdb"

    def create_topics(self, partitions: int = PARTITIONS, replication: int = 1) -> None:
        """Create them as `topics create` does; none that exists may differ from what the worker needs."""
        with self.worker_settings() as settings:
            done = asyncio.run(set_up_topics(settings, partitions, replication, is_executed=False))
        assert not done.differences
        partitions_of(
            AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0}), list(done.created)
        )

    @contextmanager
    def worker_settings(self) -> Iterator[Settings]:
        """Read the settings as a worker of the stage does; the environment has them until the block ends."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
                patch.delenv(name)
            for name, value in self.settings.items():
                patch.setenv(PREFIX + name, value)
            yield Settings.read()

    def produce(self, messages: Iterable[Message], codec: str = "none") -> None:
        """Put records on the input topics."""
        self._expected = None
        produce(self.kafka.bootstrap_servers, self.topics, messages, codec)

    def start(self, command: list[str] | None = None, /, **settings: str) -> WorkerProcess:
        """Start a worker, with some settings of its own."""
        log = self.logs / f"worker-{len(self.workers) + 1}.log"
        worker = WorkerProcess(command or module_command("run"), self.settings | settings, self.directory, log)
        self.workers.append(worker)
        return worker

    def finish(self, worker: WorkerProcess, limit_s: float = JOB_LIMIT_S) -> None:
        """Let the worker take all there is and publish all that must come of it, then stop it; it must end with 0."""
        self.wait_until_consumed(worker, limit_s)
        self.wait_until_published(worker, limit_s)
        code = worker.stop()
        assert code == 0, f"stopped with {code}:\n{worker.tail()}"

    def run_to_the_end_of_the_topics(self, **settings: str) -> WorkerProcess:
        """Start a worker and let it finish."""
        worker = self.start(**settings)
        self.finish(worker)
        return worker

    def wait_until_consumed(self, worker: WorkerProcess, limit_s: float = JOB_LIMIT_S) -> None:
        """Until the group's offsets, which mirror the store's, have reached the ends of the input topics."""
        consumer = self._group_consumer()
        try:
            worker.wait_until(lambda: self._has_no_lag(consumer), "everything consumed", limit_s)
        finally:
            consumer.close()

    def wait_until_published(self, worker: WorkerProcess, limit_s: float = JOB_LIMIT_S) -> None:
        """Until as many records are out as must come of what went in; one too many shows in the comparison."""
        wanted = self.expected()
        reader = CommittedReader(self.kafka.bootstrap_servers, (self.topics.churned, *self.topics.dead_letters))
        try:
            reader.read_until(len(wanted.events) + len(wanted.dead_letters), limit_s, worker.require_running)
        except AssertionError as missing:
            raise AssertionError(f"{missing}; the worker said:\n{worker.tail()}") from None
        finally:
            reader.close()

    def expected(self) -> Expected:
        """Return the oracle's result for the records on the input topics, as read by an independent client."""
        if self._expected is None:
            records = read_committed(self.kafka.bootstrap_servers, *self.topics.inputs)
            self._expected = expected(records, self.topics, self.group)
        return self._expected

    def published(self) -> list[Record]:
        """Return the records that a `read_committed` consumer finds on the output topics."""
        return read_committed(self.kafka.bootstrap_servers, self.topics.churned, *self.topics.dead_letters)

    def store(self) -> StoreContent:
        """Return the content of the stopped worker's file, or of PostgreSQL if the settings name one."""
        url = self.settings["STORE__URL"]
        return read_postgres(url) if url.startswith("postgresql") else read_store(self.store_file)

    def require_as_expected(self) -> Expected:
        """Compare everything, output topics and store, with the oracle; gives what the oracle said."""
        wanted = self.expected()
        require_as_expected(wanted, self.published(), self.store(), self.topics)
        return wanted

    def reset_group(self, *how: str) -> None:
        """Move the stopped group's offsets by Kafka's own tool."""
        reset_offsets(self.kafka, self.group, *how, topics=self.topics.inputs)

    def move_group(self, to: Literal["start", "end"]) -> None:
        """Move the stopped group's offsets to an end of each input log, as Kafka's own tool does."""
        consumer = self._group_consumer()
        try:
            offsets = []
            for place in self._inputs(consumer):
                first, end = consumer.get_watermark_offsets(place, timeout=30)
                offsets.append(TopicPartition(place.topic, place.partition, first if to == "start" else end))
            moved = consumer.commit(offsets=offsets, asynchronous=False)
        finally:
            consumer.close()
        assert not [each.error for each in moved if each.error]

    def group_is_empty(self) -> bool:
        """Return whether the group has no members."""
        described = self._described_group()
        return not described.members and described.state in {ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD}

    def members(self) -> int:
        """Return the number of members of the group; 0 during a rebalance."""
        described = self._described_group()
        return len(described.members) if described.state is ConsumerGroupState.STABLE else 0

    def committed(self) -> dict[tuple[str, int], int]:
        """Return the group's offsets; partitions without one are left out."""
        consumer = self._group_consumer()
        try:
            offsets = consumer.committed(self._inputs(consumer), timeout=30)
            return {(each.topic, each.partition): each.offset for each in offsets if each.offset >= 0}
        finally:
            consumer.close()

    def close(self) -> None:
        """End what still runs, and print every worker's log: pytest shows it where the test failed."""
        for number, worker in enumerate(self.workers, start=1):
            worker.kill()
            print(f"--- worker {number} ended with {worker.exit_code}; it said:\n{worker.tail()}")

    def _group_consumer(self) -> Consumer:
        return Consumer({"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": self.group})

    def _described_group(self) -> Any:
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})
        return admin.describe_consumer_groups([self.group])[self.group].result(30)

    def _inputs(self, consumer: Consumer) -> list[TopicPartition]:
        return [
            TopicPartition(topic, partition)
            for topic in self.topics.inputs
            for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ]

    def _has_no_lag(self, consumer: Consumer) -> bool:
        try:
            committed = consumer.committed(self._inputs(consumer), timeout=30)
        except KafkaException as error:
            # A young broker is still looking for the group's coordinator.
            if error.args[0].code() in {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}:
                return False
            raise
        # The first partition that lags is answer enough.
        return all(
            consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=30)[1]
            <= max(place.offset, 0)
            for place in committed
        )


def copy_of_store(stage: Stage, into: Path) -> None:
    """Copy the stopped worker's file, and its write-ahead log where there is one."""
    for file in stage.directory.glob("customers.duckdb*"):
        (into / file.name).write_bytes(file.read_bytes())


def delete_store(stage: Stage) -> None:
    """Lose the volume."""
    for file in stage.directory.glob("customers.duckdb*"):
        file.unlink()
