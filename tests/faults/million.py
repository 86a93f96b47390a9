"""Killed at full load with a million customers in the store: how soon it takes records again."""

import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.support.producing import raw_producer, send
from tests.support.records import Message
from tests.support.spelling import signup
from tests.support.stage import PARTITIONS, Stage
from tests.support.worker_process import WorkerProcess

CUSTOMERS = 1_000_000
UNDER_LOAD = 400_000  # more than is read between two kills
KILLS = 3
FILL_LIMIT_S = 300.0
BACK_WITHIN_S = 5.0
PART = 20_000


def measure(cluster: Cluster, seed: int, tell: Callable[[str], None]) -> list[float]:
    """Seconds from each restart to the first batch after it, which must stay within the limit."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="million-") as directory:
        stage = Stage(cluster.kafka, Path(directory))
        stage.create_topics(PARTITIONS, replication=3)
        stage.settings |= {"LOG__FORMAT": "json"}
        load = threading.Thread(target=_produce, args=(cluster, stage, rng), daemon=True)
        load.start()
        try:
            worker = stage.start()
            worker.wait_until(lambda: _applied(worker) >= CUSTOMERS, "a million customers", FILL_LIMIT_S)
            tell(f"{_applied(worker):,} customers in the store")
            took = []
            for _ in range(KILLS):
                worker, seconds = _kill_and_restart(stage, worker)
                tell(f"  taking records {seconds:.1f} s after the restart")
                took.append(seconds)
        finally:
            stage.close()
    assert max(took) <= BACK_WITHIN_S, f"it took {max(took):.1f} s to take records again, not {BACK_WITHIN_S:.0f} s"
    return took


def _kill_and_restart(stage: Stage, worker: WorkerProcess) -> tuple[WorkerProcess, float]:
    batches = len(worker.events("batch applied"))
    worker.wait_until(lambda: len(worker.events("batch applied")) > batches, "in the midst of its work")
    worker.kill()
    began = time.monotonic()
    again = stage.start()
    again.wait_until(lambda: bool(again.events("batch applied")), "taking records")
    return again, time.monotonic() - began


def _produce(cluster: Cluster, stage: Stage, rng: random.Random) -> None:
    producer = raw_producer(cluster.kafka.bootstrap_servers, "lz4")
    part: list[Message] = []
    for message in _customers(rng):
        part.append(message)
        if len(part) == PART:
            send(producer, stage.topics, part)
            part = []


def _customers(rng: random.Random) -> Iterator[Message]:
    template = signup("@").decode()
    for _ in range(CUSTOMERS + UNDER_LOAD * (KILLS + 1)):
        number = rng.getrandbits(128)
        text = f"{number:032x}"
        customer_id = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"
        yield Message("signup", customer_id.encode(), template.replace("@", customer_id).encode())


def _applied(worker: WorkerProcess) -> int:
    return sum(int(str(batch["applied"])) for batch in worker.events("batch applied"))
