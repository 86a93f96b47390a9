"""The worker on a store that has many customers already: its speed, its start, its memory, and a second reading."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.benchmarks import contest, contestants, traffic
from tests.benchmarks.contestants import Contestant
from worker.stores.duckdb.store import DuckDBStore

LIMIT_S = 900.0
KILL_AFTER_BATCHES = 3


@dataclass(frozen=True)
class OnStored:
    """A run over the traffic on a store that held `customers` before."""

    customers: int
    events_per_s: float
    start_s: float
    restart_s: float
    peak_mib: int
    file_mib: int


@dataclass(frozen=True)
class Replay:
    """The same records read for the first time and again; records a second."""

    first_per_s: float
    again_per_s: float


def measure(
    bootstrap_servers: str, topics: traffic.Topics, directory: Path, customers: int, traffic_customers: int
) -> OnStored:
    """Fill a store, run the traffic through the worker on it, then kill it under load and start it again."""
    contestant = contestants.worker(bootstrap_servers, topics, directory)
    store = _file(contestant)
    fill(store, customers)
    logged = _with_log(contestant)
    log = directory / "log"
    wanted = traffic_customers // 2
    figures = contest.run(bootstrap_servers, contestant.output, wanted, logged.command, logged.environment, log)
    start_s = _seconds_to_the_first_batch(log, figures.began)
    size = sum(file.stat().st_size for file in store.parent.glob(f"{store.name}*"))
    restart_s = _restart(bootstrap_servers, logged, topics, log)
    for file in store.parent.glob(f"{store.name}*"):
        file.unlink()
    events = traffic_customers * 3 // 2
    return OnStored(
        customers, events / (figures.seconds - start_s), start_s, restart_s, figures.peak_mib, size // 1024**2
    )


def replay(bootstrap_servers: str, topics: traffic.Topics, directory: Path, traffic_customers: int) -> Replay:
    """Read everything, rewind the group, and read it again."""
    contestant = _with_log(contestants.worker(bootstrap_servers, topics, directory))
    log = directory / "log"
    records = traffic_customers * 3 // 2
    first = _read_all(contestant, log, records)
    _rewind(bootstrap_servers, contestant, topics)
    again = _read_all(contestant, log, records)
    return Replay(records / first, records / again)


def fill(file: Path, customers: int) -> None:
    """Create a store with so many customers."""
    store = DuckDBStore(str(file))
    store._db.execute(
        "INSERT INTO customers SELECT uuid(), 'FinTech', 'growth', DATE '2026-01-15', 499, NULL FROM range(?)",
        [customers],
    )
    store._db.execute("CHECKPOINT")
    store.close()


def _with_log(contestant: Contestant) -> Contestant:
    return replace(contestant, environment={**contestant.environment, "CUSTOMER_WORKER_LOG__FORMAT": "json"})


def _file(contestant: Contestant) -> Path:
    return Path(contestant.environment["CUSTOMER_WORKER_STORE__URL"].removeprefix("duckdb:///"))


def _batches(log: Path) -> list[dict[str, object]]:
    lines = log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and '"batch applied"' in line]


def _seconds_to_the_first_batch(log: Path, began: float) -> float:
    first = str(_batches(log)[0]["timestamp"])
    return contest.unix_time(first) - began


def _restart(bootstrap_servers: str, contestant: Contestant, topics: traffic.Topics, log: Path) -> float:
    """Killed while it reads everything again, and started: seconds until it has applied a batch."""
    _rewind(bootstrap_servers, contestant, topics)
    process = _start(contestant, log)
    _wait(lambda: len(_batches(log)) >= KILL_AFTER_BATCHES, process)
    process.kill()
    process.wait()
    began = time.time()
    process = _start(contestant, log)
    _wait(lambda: bool(_batches(log)), process)
    took = _seconds_to_the_first_batch(log, began)
    process.kill()
    process.wait()
    return took


def _read_all(contestant: Contestant, log: Path, records: int) -> float:
    """Seconds from the first batch's begin to the last one's end."""
    process = _start(contestant, log)
    _wait(lambda: sum(int(str(batch["records"])) for batch in _batches(log)) >= records, process)
    batches = _batches(log)
    process.terminate()
    process.wait(contest.STOP_LIMIT_S)
    first, last = (contest.unix_time(str(batches[place]["timestamp"])) for place in (0, -1))
    return last - first + float(str(batches[0]["seconds"]))


def _start(contestant: Contestant, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            contestant.command, env={**os.environ, **contestant.environment}, stdout=output, stderr=output
        )


def _wait(condition: contest.Condition, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, "the worker ended by itself"
        assert time.monotonic() < deadline, f"not done within {LIMIT_S:.0f} s"
        time.sleep(0.1)


def _rewind(bootstrap_servers: str, contestant: Contestant, topics: traffic.Topics) -> None:
    """As `kafka-consumer-groups.sh --reset-offsets --to-earliest` does, once the dead member's session is over."""
    group = contestant.environment["CUSTOMER_WORKER_KAFKA__GROUP_ID"]
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    places = [
        TopicPartition(topic, number, 0)
        for topic in (topics.signup, topics.cancellation)
        for number in range(traffic.PARTITIONS)
    ]
    deadline = time.monotonic() + contest.STOP_LIMIT_S
    while admin.describe_consumer_groups([group])[group].result(30).members:
        assert time.monotonic() < deadline, f"the group {group} still has members"
        time.sleep(0.2)
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group].result(30)
