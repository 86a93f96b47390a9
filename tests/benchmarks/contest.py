"""Runs a contestant, of one process or more, and watches its output topic with a reader of committed records."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

Condition = Callable[[], bool]
LIMIT_S = 600.0
STOP_LIMIT_S = 60.0


@dataclass(frozen=True)
class Figures:
    """`seconds` from the start of the process to the last event visible; `began` is that start, in seconds since 1970.

    `cpu_seconds` and `peak_mib` are the process's, or those of all its processes added up; `repeats` counts events that
    came more than once.
    """

    seconds: float
    began: float
    cpu_seconds: float
    peak_mib: int
    repeats: int


def run(
    bootstrap_servers: str,
    topic: str,
    wanted: int,
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    processes: int = 1,
) -> Figures:
    """Start the command, so many times at once, wait until `wanted` records are visible on the topic, and stop it."""
    with ExitStack() as cleanup:
        reader = reader_at_the_end(bootstrap_servers, topic)
        cleanup.callback(reader.close)
        began, started = time.monotonic(), time.time()
        running = cleanup.enter_context(_started(command, environment, log, processes))
        keys: set[bytes] = set()
        count, last = 0, began
        while count < wanted:
            for process in running:
                assert process.poll() is None, f"it ended by itself:\n{log.read_text()[-2000:]}"
            assert time.monotonic() - began < LIMIT_S, f"{count} of {wanted} after {LIMIT_S:.0f} s"
            for message in reader.consume(10_000, 0.2):
                if message.error() is None:
                    count += 1
                    last = time.monotonic()
                    keys.add(message.key() or b"")
        cpu = sum(cpu_seconds(process.pid) for process in running)
        peak_mib = sum(_peak_mib(process.pid) for process in running)
        return Figures(last - began, started, cpu, peak_mib, count - len(keys))


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str], log: Path, processes: int
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the processes, and stop them when the block ends. All write to one log."""
    with ExitStack() as cleanup:
        output = cleanup.enter_context(log.open("wb"))
        running: list[subprocess.Popen[bytes]] = []
        cleanup.callback(_stop, running)
        for _ in range(processes):
            process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)
            running.append(process)
        yield running


def _stop(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.terminate()
    try:
        for process in running:
            process.wait(STOP_LIMIT_S)
    finally:
        for process in running:
            process.kill()  # the next contestant must not run beside one that does not stop


def unix_time(timestamp: str) -> float:
    """Return the time of a log line, in seconds since 1970."""
    return datetime.fromisoformat(timestamp).timestamp()


def reader_at_the_end(bootstrap_servers: str, topic: str) -> Consumer:
    """Return a consumer that reads what is produced from now on."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"watch-{time.time_ns()}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    partitions = reader.list_topics(topic, 30).topics[topic].partitions
    places = [TopicPartition(topic, partition) for partition in partitions]
    reader.assign([TopicPartition(topic, p.partition, reader.get_watermark_offsets(p)[1]) for p in places])
    return reader


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024
