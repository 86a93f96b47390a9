"""A worker as a process of its own, its store, of which a copy can be put back, and a command run beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TextIO

from confluent_kafka.admin import AdminClient

from tests.benchmarks import contestants, traffic
from tests.benchmarks.contest import cpu_seconds, unix_time
from tests.support.kafka.local import free_ports
from worker.settings import PREFIX

MAX_RECORDS = 10_000
LIMIT_S = 300.0
LOOK_EVERY_S = 0.05


class Batch(NamedTuple):
    """When a batch was applied, in seconds since 1970, and how many records the worker had then, from its start."""

    moment: float
    reached: int


class BusyWorker:
    """The worker, run with the settings of this process's environment, as the commands are."""

    def __init__(self, bootstrap_servers: str, topics: traffic.Topics, directory: Path) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._log = directory / "log"
        self._store, self._copy = directory / "store", directory / "store-copy"
        self._store.mkdir()
        store_url = f"duckdb:///{self._store / 'customers.duckdb'}"
        self._contestant = _served(contestants.worker(bootstrap_servers, topics, directory, store_url), directory)
        os.environ.update(self._contestant.environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: TextIO | None = None
        self._unfinished = ""
        self._batches: list[Batch] = []

    def start(self) -> None:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(self._contestant.command, env=os.environ, stderr=output)
        self._reader = self._log.open(errors="replace")
        self._unfinished = ""
        self._batches = []

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(LIMIT_S) == 0, self._says()
        self._let_go()

    def close(self) -> None:
        """End it, however it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._let_go()

    def _let_go(self) -> None:
        self._process = None
        if self._reader is not None:
            self._reader.close()

    def copy_store(self) -> None:
        """Keep the store as it is now; no worker may run."""
        shutil.copytree(self._store, self._copy)

    def put_store_back(self) -> None:
        """Let the next worker start where the one did for which the store was copied; none may run."""
        shutil.rmtree(self._store)
        shutil.copytree(self._copy, self._store)
        os.sync()  # else the disk is still busy with it while the worker is measured
        # The worker takes no notice of the group's offsets, which it set itself; without them each start is the same.
        group = self._contestant.environment[f"{PREFIX}KAFKA__GROUP_ID"]
        admin = AdminClient({"bootstrap.servers": self._bootstrap_servers, "log_level": 0})
        for deleted in admin.delete_consumer_groups([group]).values():
            deleted.result(LIMIT_S)

    def batches(self) -> Sequence[Batch]:
        """Return the batches applied since its start. Only new lines of the log are read, so that it costs little."""
        assert self._reader is not None
        *lines, self._unfinished = (self._unfinished + self._reader.read()).split("\n")
        for line in lines:
            if '"batch applied"' in line:
                entry = json.loads(line)
                before = self._batches[-1].reached if self._batches else 0
                self._batches.append(Batch(unix_time(entry["timestamp"]), before + entry["records"]))
        return self._batches

    def cpu_seconds(self) -> float:
        """Return the CPU seconds used since its start."""
        assert self._process is not None
        return cpu_seconds(self._process.pid)

    def forget_peak(self) -> int:
        """Let the peak of its memory begin anew; returns the memory that it has now, in MiB."""
        assert self._process is not None
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        return self.peak_mib()

    def peak_mib(self) -> int:
        """Return the peak of its memory."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM:"))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert self._process is not None
            assert self._process.poll() is None, self._says()
            assert time.monotonic() < deadline, self._says()
            time.sleep(LOOK_EVERY_S)

    def _says(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


def _served(contestant: contestants.Contestant, directory: Path) -> contestants.Contestant:
    """Return the contestant with an HTTP port, and with a cache of its own for commands."""
    [port] = free_ports(1)
    settings = {
        "HTTP__ENABLED": "true",
        "HTTP__PORT": str(port),
        "LOG__FORMAT": "json",
        "BATCH__MAX_RECORDS": str(MAX_RECORDS),
    }
    more = {f"{PREFIX}{name}": value for name, value in settings.items()} | {"XDG_CACHE_HOME": str(directory / "cache")}
    return replace(contestant, environment={**contestant.environment, **more})


class Run(NamedTuple):
    """A command that was run: its seconds, those of CPU, and the peak memory of the largest of its processes."""

    seconds: float
    cpu_seconds: float
    peak_mib: int


def run(command: Sequence[str]) -> Run:
    """Run a command of the worker."""
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "worker", *command, "--json"], stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        took = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        assert process.returncode == 0, f"{command}: {output.read()[-2000:].decode()}"
    return Run(took, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)
