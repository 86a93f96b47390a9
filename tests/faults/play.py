"""One chapter's play: topics, group and store of its own, load running, workers that are hurt and started again."""

import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tests.faults.cluster import Cluster
from tests.faults.invariants import asking_the_dead, require_order_of_knowledge
from tests.faults.load import Load
from tests.faults.proxy import Doors, Rule
from tests.faults.watcher import Watcher
from tests.support.records import Message
from tests.support.stage import PARTITIONS, Stage, delete_store
from tests.support.store_reader import Ask, asking, asking_postgres
from tests.support.worker_process import KILLED, WorkerProcess

RECOVERY_LIMIT_S = 120.0
ASK_EVERY_S = 0.1
PATIENCE_S = 60.0
ENDS_LIMIT_S = 5.0
T = TypeVar("T")
UNREACHABLE = 69


class Play:
    """A world of its own on the cluster. `recovered` says how long it took to be well again.

    Faults act on `worker`, the one at `slot`: with DuckDB there is no other.
    """

    def __init__(self, cluster: Cluster, seed: int, keep: Path) -> None:
        self.cluster = cluster
        self.seed = seed
        self.directory = Path(tempfile.mkdtemp(prefix="faults-"))
        self.stage = Stage(cluster.kafka, self.directory)
        self.is_store_behind = False  # true while an older store, or none, is catching up
        self.cut: set[str] = set()  # what an output topic has lost after it was read from it
        self.partitions_of_churned = [PARTITIONS]  # every count it has had
        self.samples = 0
        self._keep = keep
        self._cleanup = ExitStack()
        self.stage.create_topics(PARTITIONS, replication=3)
        self.stage.settings["LOG__FORMAT"] = "json"
        if cluster.database is not None:
            self.stage.settings["STORE__URL"] = cluster.database.fresh_store()
        self.outputs = (self.stage.topics.churned, *self.stage.topics.dead_letters)
        self.load = Load(cluster.kafka.bootstrap_servers, self.stage.topics, seed, PARTITIONS)
        self.watcher = Watcher(cluster.kafka.bootstrap_servers, self.outputs)
        self._group = Consumer(
            {"bootstrap.servers": cluster.kafka.bootstrap_servers, "group.id": self.stage.group, "log_level": 0}
        )
        self.load.start()
        self.slot = 0
        self.workers: list[WorkerProcess] = []
        self.start_all()

    @property
    def worker(self) -> WorkerProcess:
        """The worker that is hurt."""
        return self.workers[self.slot]

    @property
    def is_shared(self) -> bool:
        """Whether many workers share the group and the store."""
        return self.cluster.database is not None

    @property
    def doors(self) -> Doors:
        """The worker's way to Kafka."""
        return self.cluster.ways[self.slot]

    @property
    def transactional_id(self) -> str:
        """Under which the worker's relay publishes."""
        return f"{self.stage.group}-relay"

    def start(self, command: list[str] | None = None, /, **settings: str) -> WorkerProcess:
        """Start the worker that is hurt."""
        return self._start(self.slot, command, **settings)

    def start_all(self) -> None:
        """Start every worker."""
        for slot in range(len(self.cluster.ways)):
            self._start(slot)

    def _start(self, slot: int, command: list[str] | None = None, /, **settings: str) -> WorkerProcess:
        own = {"KAFKA__BOOTSTRAP_SERVERS": self.cluster.ways[slot].addresses, **self.cluster.login}
        if self.cluster.database is not None:
            own["STORE__URL"] = self.cluster.database.url_for(slot, self.stage.settings["STORE__URL"])
        worker = self.stage.start(command, **(own | settings))
        self.workers[slot : slot + 1] = [worker]
        return worker

    def stop_all(self) -> None:
        """SIGTERM to every worker; each must end with 0."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            code = worker.wait()
            assert code == 0, f"stopped with {code}:\n{worker.tail()}"

    def kill_all(self) -> None:
        """`kill -9` to every worker."""
        for worker in self.workers:
            worker.kill()
        self.look_at_the_dead()

    def choose(self, rng: random.Random) -> None:
        """Draw the worker that is hurt from now on."""
        self.slot = rng.randrange(len(self.workers))

    def publisher(self) -> int | None:
        """Return the slot of the worker that publishes; None while none does."""
        if self.cluster.database is None:
            return self.slot
        return self.cluster.database.publisher(self.stage.settings["STORE__URL"])

    def turn_to_publisher(self) -> None:
        """Let the worker that publishes be the one that is hurt."""

        def found() -> bool:
            publisher = self.publisher()
            self.slot = self.slot if publisher is None else publisher
            return publisher is not None

        self.wait_for(found, "publishing at all")

    def lay(self, rule: Rule) -> Rule:
        """Let the rule wait for its answer, whichever worker it is for."""
        for way in self.cluster.ways:
            way.lay(rule)
        return rule

    def lift_rules(self) -> None:
        """Forget every rule."""
        for way in self.cluster.ways:
            way.lift_rules()

    def lose_store(self) -> None:
        """Lose everything in the store of workers that are all stopped."""
        if self.cluster.database is None:
            delete_store(self.stage)
        else:
            self.cluster.database.empty(self.stage.settings["STORE__URL"])

    def asking(self) -> AbstractContextManager[Ask]:
        """Open queries on the store of workers that are all stopped."""
        if self.cluster.database is None:
            return asking(self.stage.store_file)
        return asking_postgres(self.stage.settings["STORE__URL"])

    def kill(self) -> None:
        """`kill -9`, and look at what it left."""
        self.worker.kill()
        self.look_at_the_dead()

    def restart(self, **settings: str) -> None:
        """`kill -9`, and start again."""
        self.kill()
        self.start(**settings)

    def on_cleanup(self, undo: Callable[[], object]) -> None:
        """Do this when the play is over, however it ends."""
        self._cleanup.callback(undo)

    def look_at_the_dead(self) -> None:
        """Check the invariants that hold at all times: DuckDB while it is closed, PostgreSQL beside workers.

        The topics are read first, the store after them: whatever they know it must know by then.
        """
        seen, mirrored = self.watcher.ids(), patiently(self.stage.committed)
        if (self.is_shared or self.stage.store_file.exists()) and not self.is_store_behind:
            with self.asking() if self.is_shared else asking_the_dead(self.stage.store_file) as ask:
                require_order_of_knowledge(ask, seen, mirrored)
            self.samples += 1

    def wait_for(self, condition: Callable[[], bool], what: str, limit_s: float = RECOVERY_LIMIT_S) -> float:
        """Ask again and again; how long it took. A worker that found no Kafka is started again, as by a supervisor."""
        began = time.monotonic()
        while not self._holds(condition):
            if self.load.failure is not None:
                self.load.stop()
            self._require_running()
            if time.monotonic() - began > limit_s:
                said = "\n\n".join(worker.tail() for worker in self.workers)
                raise AssertionError(f"not {what} within {limit_s:.0f} s; the worker said:\n{said}")
            time.sleep(ASK_EVERY_S)
        return time.monotonic() - began

    def _require_running(self) -> None:
        for slot, worker in enumerate(self.workers):
            if worker.exit_code == UNREACHABLE:
                self._start(slot)
            self.workers[slot].require_running()

    def recovered(self, began: float, limit_s: float = RECOVERY_LIMIT_S) -> float:
        """Seconds from `began` until what comes of records produced now is out; then waits until all is read.

        There is one on each partition of the inputs, whose dead letter is the last on its partition.

        The ends of the logs are requested after the measurement: librdkafka can take as long as its timeout for them
        while partitions change their leaders, which is no time of the worker.
        """
        last = [
            Message(kind, f"last-{uuid.uuid4()}".encode(), b"no JSON", partition=number)
            for kind in ("signup", "cancellation")
            for number in range(PARTITIONS)
        ]
        self.stage.produce(last)
        keys = [message.key for message in last if message.key is not None]
        self.wait_for(lambda: self.watcher.has_seen(*keys), "published what came last", limit_s)
        took = time.monotonic() - began
        ends = self.ends(IsolationLevel.READ_UNCOMMITTED, *self.stage.topics.inputs)
        self.wait_for(lambda: self._has_read(ends), "all read", limit_s)  # told by the mirror, once a second
        self.wait_for(lambda: all(map(_has_started, self.workers)), "every worker started", limit_s)
        return took

    def wait_until_published(self, limit_s: float) -> None:
        """Until the reader all along has seen as many records as must come of what went in."""
        wanted = self.stage.expected()
        due = len(wanted.events) + len(wanted.dead_letters)
        self.wait_for(lambda: len(self.watcher.records) >= due, f"{due} records published", limit_s)

    def wait_until_stable(self, limit_s: float) -> None:
        """Until no transaction is open on any output."""
        self.wait_for(self.is_stable, "last stable offset = end on every output", limit_s)

    def is_stable(self) -> bool:
        """Return whether no transaction is open on any output: the last stable offset is the end."""
        committed = self.ends(IsolationLevel.READ_COMMITTED, *self.outputs)
        return committed == self.ends(IsolationLevel.READ_UNCOMMITTED, *self.outputs)

    def wait_until_refused(self, *wanted: str, codes: Collection[int]) -> None:
        """Until the worker has stopped by itself, with one of these exit codes and these words in its log."""
        code = self.worker.wait(RECOVERY_LIMIT_S)
        said = self.worker.said()
        missing = [words for words in wanted if words not in said]
        assert code in codes, f"ended with {code} instead of one of {codes}:\n{self.worker.tail()}"
        assert not missing, f"its log does not say {missing}:\n{self.worker.tail()}"

    def wait_until_dead(self, what: str, limit_s: float = RECOVERY_LIMIT_S) -> None:
        """Until the worker has been killed by itself at its failpoint."""
        code = self.worker.wait(limit_s)
        assert code == KILLED, f"{what}: ended with {code} instead of being killed:\n{self.worker.tail()}"
        self.look_at_the_dead()

    def ends(self, isolation: IsolationLevel, *topics: str) -> dict[tuple[str, int], int]:
        """Return the end of each partition of these topics, or its last stable offset."""
        return patiently(lambda: self._ends_now(isolation, topics))

    def _ends_now(self, isolation: IsolationLevel, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        metadata = self.cluster.admin.list_topics(timeout=30).topics
        places = [TopicPartition(topic, number) for topic in topics for number in metadata[topic].partitions]
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self.cluster.admin.list_offsets(
            dict.fromkeys(places, latest), isolation_level=isolation, request_timeout=ENDS_LIMIT_S
        )
        return {(place.topic, place.partition): found.result(2 * ENDS_LIMIT_S).offset for place, found in asked.items()}

    def close(self, *, failed: bool) -> None:
        """End everything; where the play failed its directory is kept."""
        self.lift_rules()
        self._cleanup.close()
        for worker in self.stage.workers:
            worker.thaw()
            worker.kill()
        self.load.stop_quietly()
        self.watcher.close()
        self._group.close()
        if failed:
            if self.cluster.database is not None:
                self.cluster.database.dump(self.stage.settings["STORE__URL"], self.directory)
            kept = self._keep / self.stage.name
            shutil.copytree(self.directory, kept)
            for number, node in enumerate(self.cluster.kafka.nodes, start=1):
                shutil.copy(node.log, kept / f"broker-{number}.log")
            print(f"kept: {kept}")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _holds(self, condition: Callable[[], bool]) -> bool:
        try:
            return condition()
        except (KafkaException, TimeoutError):
            return False  # a broker is away: ask again

    def _has_read(self, ends: dict[tuple[str, int], int]) -> bool:
        committed = self._group.committed([TopicPartition(*place) for place in ends], timeout=10)
        return all(each.offset >= ends[each.topic, each.partition] or not ends[each.topic, each.partition]
                   for each in committed)  # fmt: skip


def _has_started(worker: WorkerProcess) -> bool:
    return bool(worker.events("started"))


def patiently(ask: Callable[[], T]) -> T:
    """Ask Kafka until it answers: a cluster that has just lost a broker is still finding its leaders."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except (KafkaException, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(ASK_EVERY_S)
