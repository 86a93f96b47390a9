"""The start of the worker on a store that holds customers: on an idle machine, and after `kill -9` under load."""

from __future__ import annotations

import random
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from confluent_kafka import Producer
from rich.table import Table

from tests.benchmarks import contest, contestants, logged_worker, traffic

KILL_AFTER_BATCHES = 3


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the process until it has joined its group, applied a batch, and can publish.

    It can publish once the outbox is recovered. `cpu_seconds` are the process's until the first batch was applied.
    """

    joined_s: float
    applied_s: float
    recovered_s: float
    cpu_seconds: float


def cold(bootstrap_servers: str, directory: Path, customers: int, runs: int) -> list[Start]:
    """Start the worker on a store that was closed, with one record to read. The first start creates the group."""
    topics = traffic.Topics(f"start-{time.time_ns()}.")
    traffic.create(bootstrap_servers, topics)
    contestant = logged_worker.with_log(contestants.worker(bootstrap_servers, topics, directory))
    logged_worker.fill(logged_worker.store_file(contestant), customers)
    log = directory / "log"
    found = []
    for _ in range(runs):
        _produce_one(bootstrap_servers, topics)
        began = time.time()
        process = logged_worker.start(contestant, log)
        found.append(_first_batch(process, log, began))
        process.terminate()
        process.wait(contest.STOP_LIMIT_S)
    _delete_store(contestant)
    return found


def killed(bootstrap_servers: str, topics: traffic.Topics, directory: Path, customers: int, runs: int) -> list[Start]:
    """Start the worker after `kill -9` while it read a backlog, each time on a new store."""
    log = directory / "log"
    found = []
    for _ in range(runs):
        contestant = logged_worker.with_log(contestants.worker(bootstrap_servers, topics, directory))
        logged_worker.fill(logged_worker.store_file(contestant), customers)
        process = logged_worker.start(contestant, log)
        logged_worker.wait(lambda: len(logged_worker.batches(log)) >= KILL_AFTER_BATCHES, process)
        process.kill()
        process.wait()
        began = time.time()
        process = logged_worker.start(contestant, log)
        found.append(_first_batch(process, log, began))
        process.kill()
        process.wait()
        _delete_store(contestant)
    return found


def _first_batch(process: Popen[bytes], log: Path, began: float) -> Start:
    logged_worker.wait(lambda: bool(logged_worker.batches(log)), process)
    cpu = contest.cpu_seconds(process.pid)
    logged_worker.wait(lambda: bool(logged_worker.events(log, "recovered")), process)
    events = ("started", "batch applied", "recovered")
    joined_s, applied_s, recovered_s = (logged_worker.seconds_to(name, log, began) for name in events)
    return Start(joined_s, applied_s, recovered_s, cpu)


def _produce_one(bootstrap_servers: str, topics: traffic.Topics) -> None:
    customer_id = str(uuid.uuid4())
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    value = traffic.signup(customer_id, random.Random(8))
    producer.produce(topics.signup, value, customer_id.encode(), headers=traffic.headers("signup", 0))
    assert producer.flush(30) == 0


def _delete_store(contestant: contestants.Contestant) -> None:
    store = logged_worker.store_file(contestant)
    for file in store.parent.glob(f"{store.name}*"):
        file.unlink()


def table(medians: dict[str, dict[str, float]]) -> Table:
    """Return the medians of each kind of start."""
    figures = {
        "group joined, s": "joined_s",
        "first batch applied, s": "applied_s",
        "CPU until then, s": "cpu_seconds",
        "outbox recovered, s": "recovered_s",
    }
    shown = Table("", *figures)
    for name, start in medians.items():
        shown.add_row(name, *(f"{start[key]:.2f}" for key in figures.values()))
    return shown
