"""The documents' walkthrough and the examples of clients, executed as written against a real Kafka."""

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import pytest

from tests.documents.documents import CONTRACT, OPERATING, ROOT, blocks, section, spans, table
from tests.documents.java import compile_java
from tests.documents.shell import KAFKA_TOOLS
from tests.support.kafka import jars
from tests.support.kafka.local import free_ports, local_kafka
from worker.settings import PREFIX

DOCUMENTED_BROKER = "localhost:9092"
CUSTOMER = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
LIMIT_S = 60.0
Found = TypeVar("Found")
SET_UP, RUN, FIRST_EVENT, FIRST_DEAD_LETTER, RUN_AGAIN, REDRIVE, REPORTS = [
    block.text for block in blocks("sh", [OPERATING]) if block.text in section(OPERATING, "First steps")
]


class Stranger:
    """A terminal in an empty directory, with the worker and Kafka's tools on the path, and a second one with `run`."""

    def __init__(self, directory: Path, bootstrap_servers: str) -> None:
        self.directory = directory
        self.bootstrap_servers = bootstrap_servers
        programs = directory / "bin"
        programs.mkdir()
        java = [jars.java(), *jars.soon_gone(), "-cp", jars.classpath()]
        for name, main_class in KAFKA_TOOLS.items():
            _write_program(programs / name, [*java, main_class])
        _write_program(programs / "customer-worker", [sys.executable, "-m", "worker"])
        self.port = free_ports(1)[0]
        own = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
        self.environment = own | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
            f"{PREFIX}HTTP__PORT": str(self.port),
        }
        self._worker: subprocess.Popen[bytes] | None = None

    def type(self, script: str) -> str:
        """Execute a script; what it printed. One that starts the worker restarts it in the second terminal."""
        if script.strip().endswith("customer-worker run"):
            self.stop_worker()
            self._worker = self._start(script)
            return ""
        command = ["bash", "-euo", "pipefail", "-c", self.here(script)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, env=self.environment, cwd=self.directory
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def stop_worker(self) -> None:
        """Stop the worker where one runs."""
        if self._worker is not None:
            self._worker.terminate()
            assert self._worker.wait(LIMIT_S) == 0
            self._worker = None

    def _start(self, script: str) -> subprocess.Popen[bytes]:
        words = shlex.split(self.here(script))
        settings = dict(word.split("=", 1) for word in words if "=" in word)
        command = [sys.executable, "-m", "worker", "run"]
        with (self.directory / "worker.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=self.environment | settings,
                cwd=self.directory,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def here(self, script: str) -> str:
        """Return the script with the address of this Kafka."""
        return script.replace(DOCUMENTED_BROKER, self.bootstrap_servers)


def _write_program(path: Path, command: list[str]) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """Yield a stranger who has a new Kafka and has started the worker."""
    with local_kafka(1) as kafka:
        one = Stranger(tmp_path_factory.mktemp("stranger"), kafka.bootstrap_servers)
        try:
            one.type(SET_UP)
            one.type(RUN)
            yield one
        finally:
            one.stop_worker()


def until(look: Callable[[], Found], limit_s: float = LIMIT_S) -> Found:
    """Look again until there is something."""
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
    return found


def test_first_steps_lead_to_an_event_a_redrive_and_an_erasure(stranger: Stranger) -> None:
    printed = stranger.type(FIRST_EVENT)
    event = next(json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    assert (event["customer_id"], event["lost_arr"]["amount"]) == (CUSTOMER, "5988.00")

    assert "too_large" in stranger.type(FIRST_DEAD_LETTER)

    stranger.type(RUN_AGAIN)
    assert '"note"' in stranger.type(REDRIVE)
    until(lambda: json.loads(stranger.type("customer-worker dead-letters list --state applied --json"))["letters"])

    printed = stranger.type(REPORTS)
    assert ["FinTech", "1", "5988.00"] in [line.split() for line in printed.splitlines()]
    assert "customers.parquet: 2 rows" in printed

    (tombstone,) = [block.text for block in blocks("sh", [OPERATING]) if "null.marker" in block.text]
    stranger.type(tombstone)
    until(lambda: json.loads(stranger.type("customer-worker reconcile --json"))["total"]["erased"]["count"] == 1)


def test_paths_of_the_contract_are_served(stranger: Stranger) -> None:
    documented = [path for row in table(CONTRACT, "HTTP") for path in spans(row[0])]
    assert len(documented) == 8
    for path in documented:
        until(lambda path=path: _is_served(f"http://127.0.0.1:{stranger.port}{path}"))  # type: ignore[misc]


def _is_served(url: str) -> bool:
    """Return whether it answers with 200; False while the worker starts. Raises if there is no such path."""
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S):
            return True
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return False
    except OSError:
        return False


@contextmanager
def subscriber(command: list[str], environment: Mapping[str, str], output: Path) -> Iterator[Callable[[], str]]:
    """Run an example that reads for ever, and yield a function that returns what it has printed so far."""
    with output.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
        try:
            yield output.read_text
        finally:
            process.kill()


def test_python_producer_and_subscriber_work(stranger: Stranger, tmp_path: Path) -> None:
    producer, reader = (block.text for block in blocks("python", [CONTRACT]))
    customer_id = _run([sys.executable, "-c", stranger.here(producer)], stranger)
    command = [sys.executable, "-c", stranger.here(reader)]
    with subscriber(command, stranger.environment, tmp_path / "out") as printed:
        until(lambda: f"{customer_id} churned on 2026-06-30: 5988.00 USD a year" in printed())


def test_java_producer_and_subscriber_work(stranger: Stranger, tmp_path: Path) -> None:
    producer, reader = (compile_java(stranger.here(block.text), tmp_path) for block in blocks("java", [CONTRACT]))
    java = [jars.java(), *jars.soon_gone(), "-cp", f"{tmp_path}:{jars.classpath()}"]
    customer_id = _run([*java, producer], stranger)
    with subscriber([*java, reader], stranger.environment, tmp_path / "out") as printed:
        until(lambda: f"{customer_id} churned: " in printed())


def _run(command: list[str], stranger: Stranger) -> str:
    done = subprocess.run(
        command, env=stranger.environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
