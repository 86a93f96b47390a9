"""SIGTERM stops the worker cleanly; a second one stops it at once, without loss."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from tests.acceptance.test_http import url_of
from tests.support.corpus import make_corpus
from tests.support.kafka.cluster import wait_until_ready
from tests.support.stage import PARTITIONS, Stage
from tests.support.worker_process import WorkerProcess, environment, module_command

pytestmark = pytest.mark.timeout(180)
SMALL_BATCHES = {"BATCH__MAX_RECORDS": "500"}
IN_GOOD_ORDER_S = 20
AT_ONCE_S = 3
PROMISED_S = 10
STORE_LOCK = b"LOCK TABLE customers, journal, positions IN ACCESS EXCLUSIVE MODE"


def test_sigterm_publishes_decided_records_and_leaves_the_group(stage: Stage) -> None:
    worker = _in_the_middle_of_work(stage)
    worker.terminate()
    assert worker.wait(IN_GOOD_ORDER_S) == 0, worker.tail()
    assert not worker.errors(), "nothing went wrong: this would be a false alarm"
    assert stage.group_is_empty(), "the group still has the member that was told to stop"
    _require_published_what_was_decided(stage)
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def test_a_second_sigterm_stops_at_once_and_loses_nothing(stage: Stage) -> None:
    worker = _in_the_middle_of_work(stage)
    worker.terminate()
    worker.wait_until(lambda: "stopping" in worker.said() or worker.exit_code is not None, "told to stop")
    worker.terminate()
    began = time.monotonic()
    worker.wait(IN_GOOD_ORDER_S)
    assert time.monotonic() - began < AT_ONCE_S
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def test_idle_worker_stops_cleanly(stage: Stage) -> None:
    stage.create_topics()
    stage.produce(make_corpus(20, PARTITIONS, troubles=False).messages)
    stage.run_to_the_end_of_the_topics()
    assert stage.group_is_empty()


def test_stop_without_kafka_ends_in_time_and_loses_nothing(mortal_stage: Stage) -> None:
    stage, [node] = mortal_stage, mortal_stage.kafka.nodes
    worker = _in_the_middle_of_work(stage, 3_000)
    node.kill()
    try:
        assert _seconds_to_end(worker, 0) < PROMISED_S
        [left] = worker.events("publishing unfinished")
        assert isinstance(left["unpublished"], int)
        assert left["unpublished"] > 0
        assert "never retrieved" not in worker.said()
        assert "Unclosed" not in worker.said()
    finally:
        node.restart()
    wait_until_ready(stage.kafka.bootstrap_servers)
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def test_stop_with_a_store_that_hangs_ends_in_time(stage: Stage, url: str) -> None:
    stage.create_topics()
    messages = make_corpus(40, PARTITIONS, troubles=False).messages
    stage.produce(messages[:30])
    worker = stage.start(HTTP__ENABLED="true", HTTP__PORT="0")
    host, port = url_of(worker).removeprefix("http://").split(":")
    worker.wait_until(lambda: bool(worker.events("batch applied")), "at work")
    with _locked(url) as someone_waits, socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\n")  # and never the rest
        stage.produce(messages[30:])
        worker.wait_until(someone_waits, "a batch waiting for the lock")
        assert _seconds_to_end(worker, 0) < PROMISED_S
    assert "unfinished: finishing the current batch" in worker.said()
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def test_stop_after_a_topic_was_deleted_ends_in_time(stage: Stage) -> None:
    worker = _in_the_middle_of_work(stage)
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    admin.delete_topics([stage.topics.signup])[stage.topics.signup].result(30)
    assert _seconds_to_end(worker, 0) < PROMISED_S


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_early_signal_stops_process_1(number: signal.Signals, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_kafka:
        address = f"127.0.0.1:{silent_kafka.getsockname()[1]}"
        for moment in (0.0, 0.2, 0.6, 1.5):
            with _process_1(address, tmp_path) as (namespace, pid):
                _wait_for(namespace, pid, "SigCgt")
                time.sleep(moment)  # the moments are what is tried: none of them may be too early
                os.kill(pid, number)
                assert namespace.wait(PROMISED_S) == 0, f"{moment} s after the handler was installed"
                assert '"event": "stopped"' in (tmp_path / "log").read_text(), f"after {moment} s"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_before_python_starts_stops_process_1(number: signal.Signals, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_kafka:
        address = f"127.0.0.1:{silent_kafka.getsockname()[1]}"
        with _process_1(address, tmp_path, _entry_point_of_the_image()) as (namespace, pid):
            _wait_for(namespace, pid, "SigBlk")
            os.kill(pid, number)
            assert namespace.wait(PROMISED_S) == 0
            assert '"event": "stopped"' in (tmp_path / "log").read_text()


def _seconds_to_end(worker: WorkerProcess, code: int) -> float:
    began = time.monotonic()
    worker.terminate()
    assert worker.wait(IN_GOOD_ORDER_S) == code, worker.tail()
    return time.monotonic() - began


@contextmanager
def _locked(url: str) -> Iterator[Callable[[], bool]]:
    """Hold up every statement on the store's tables; gives whether one waits."""
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as db:
        holder.execute(STORE_LOCK)
        [(pid,)] = holder.execute("SELECT pg_backend_pid()").fetchall()
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %s = ANY (pg_blocking_pids(pid))"
        yield lambda: db.execute(blocked, [pid]).fetchall() != [(0,)]
        holder.rollback()


@contextmanager
def _process_1(
    kafka: str, directory: Path, entry_point: Sequence[str] = ()
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Run a worker as process 1 of a namespace, as in a container without init; gives it, and its number out here."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    with (directory / "log").open("wb") as output:
        namespace = subprocess.Popen(
            [
                "unshare",
                *as_root,
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
                *entry_point,
                *module_command("run"),
            ],
            env=environment({"KAFKA__BOOTSTRAP_SERVERS": kafka, "LOG__FORMAT": "json"}),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield namespace, _child_of(namespace, directory / "log")
    finally:
        namespace.kill()
        namespace.wait()


def _child_of(process: "subprocess.Popen[bytes]", log: Path) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        if found := children.read_text().split():
            return int(found[0])
    raise AssertionError(f"no process namespace could be made, which needs root or user namespaces: {log.read_text()}")


def _wait_for(process: "subprocess.Popen[bytes]", pid: int, mask: str) -> None:
    """Wait until the process catches (SigCgt) or blocks (SigBlk) SIGTERM. Before that, it would not receive it.

    `unshare` blocks it for a moment, too, but unblocks it before it becomes the command.
    """
    while process.poll() is None:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}
        if status["Name"] != "unshare" and int(status[mask], 16) >> (signal.SIGTERM - 1) & 1:
            return
    raise AssertionError(f"the process ended before SIGTERM was in {mask}")


def _entry_point_of_the_image() -> list[str]:
    """Return what the image starts before the worker's own command."""
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    entry_point: list[str] = json.loads(re.findall(r"^ENTRYPOINT (.+)$", dockerfile, re.MULTILINE)[0])
    assert entry_point[-1] == "customer-worker"
    return entry_point[:-1]


def _in_the_middle_of_work(stage: Stage, signups: int = 6_000) -> WorkerProcess:
    stage.settings |= SMALL_BATCHES
    stage.create_topics()
    stage.produce(make_corpus(signups, PARTITIONS).messages)
    worker = stage.start()
    worker.wait_until(lambda: len(worker.events("batch applied")) >= 3, "in the middle of work")
    return worker


def _require_published_what_was_decided(stage: Stage) -> None:
    store, published = stage.store(), stage.published()
    churned = [customer_id for customer_id, customer in store.customers.items() if customer.churn_date is not None]
    rejected = [row for row in store.journal if row.outcome == "rejected"]
    assert 0 < len(store.journal) < len(stage.expected().outcomes), "it was not stopped in the middle"
    assert len([record for record in published if record.topic == stage.topics.churned]) == len(churned)
    assert len([record for record in published if record.topic != stage.topics.churned]) == len(rejected)
