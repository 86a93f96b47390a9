"""A worker as a process that logs JSON: started, watched by its log, its group rewound."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.benchmarks import contest, traffic
from tests.benchmarks.contestants import Contestant
from worker.stores.duckdb.store import DuckDBStore

LIMIT_S = 900.0
LOOK_EVERY_S = 0.02


def with_log(contestant: Contestant) -> Contestant:
    return replace(contestant, environment={**contestant.environment, "CUSTOMER_WORKER_LOG__FORMAT": "json"})


def store_file(contestant: Contestant) -> Path:
    return Path(contestant.environment["CUSTOMER_WORKER_STORE__URL"].removeprefix("duckdb:///"))


def fill(file: Path, customers: int) -> None:
    """Create a store with so many customers."""
    store = DuckDBStore(str(file))
    store._db.execute(
        "INSERT INTO customers (customer_id, industry, plan_tier, signup_date, mrr)"
        " SELECT uuid(), 'FinTech', 'growth', DATE '2026-01-15', 499 FROM range(?)",
        [customers],
    )
    store._db.execute("CHECKPOINT")
    store.close()


def start(contestant: Contestant, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            contestant.command, env={**os.environ, **contestant.environment}, stdout=output, stderr=output
        )


def wait(condition: contest.Condition, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, "the worker ended by itself"
        assert time.monotonic() < deadline, f"not done within {LIMIT_S:.0f} s"
        time.sleep(LOOK_EVERY_S)


def events(log: Path, name: str) -> list[dict[str, object]]:
    """Return the log lines of one event, in order."""
    lines = log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and f'"{name}"' in line]


def batches(log: Path) -> list[dict[str, object]]:
    return events(log, "batch applied")


def seconds_to(name: str, log: Path, began: float) -> float:
    """Return the seconds from `began`, since 1970, to the first event of that name."""
    return contest.unix_time(str(events(log, name)[0]["timestamp"])) - began


def rewind(bootstrap_servers: str, contestant: Contestant, topics: traffic.Topics) -> None:
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
