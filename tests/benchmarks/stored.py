"""The worker on a store that has many customers already: its speed, its start, its memory, and a second reading."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import contest, contestants, logged_worker, traffic
from tests.benchmarks.contestants import Contestant

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
    store = logged_worker.store_file(contestant)
    logged_worker.fill(store, customers)
    logged = logged_worker.with_log(contestant)
    log = directory / "log"
    wanted = traffic_customers // 2
    figures = contest.run(bootstrap_servers, contestant.output, wanted, logged.command, logged.environment, log)
    start_s = logged_worker.seconds_to("batch applied", log, figures.began)
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
    contestant = logged_worker.with_log(contestants.worker(bootstrap_servers, topics, directory))
    log = directory / "log"
    records = traffic_customers * 3 // 2
    first = _read_all(contestant, log, records)
    logged_worker.rewind(bootstrap_servers, contestant, topics)
    again = _read_all(contestant, log, records)
    return Replay(records / first, records / again)


def _restart(bootstrap_servers: str, contestant: Contestant, topics: traffic.Topics, log: Path) -> float:
    """Killed while it reads everything again, and started: seconds until it has applied a batch."""
    logged_worker.rewind(bootstrap_servers, contestant, topics)
    process = logged_worker.start(contestant, log)
    logged_worker.wait(lambda: len(logged_worker.batches(log)) >= KILL_AFTER_BATCHES, process)
    process.kill()
    process.wait()
    began = time.time()
    process = logged_worker.start(contestant, log)
    logged_worker.wait(lambda: bool(logged_worker.batches(log)), process)
    took = logged_worker.seconds_to("batch applied", log, began)
    process.kill()
    process.wait()
    return took


def _read_all(contestant: Contestant, log: Path, records: int) -> float:
    """Seconds from the first batch's begin to the last one's end."""
    process = logged_worker.start(contestant, log)
    logged_worker.wait(
        lambda: sum(int(str(batch["records"])) for batch in logged_worker.batches(log)) >= records, process
    )
    batches = logged_worker.batches(log)
    process.terminate()
    process.wait(contest.STOP_LIMIT_S)
    first, last = (contest.unix_time(str(batches[place]["timestamp"])) for place in (0, -1))
    return last - first + float(str(batches[0]["seconds"]))
