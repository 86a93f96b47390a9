"""The demo as a user runs it: one command, the in-process broker, a real kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console

from worker.demo import run_demo, story
from worker.demo.broker import Broker
from worker.demo.process import WorkerProcess
from worker.demo.real_broker import real_broker
from worker.errors import Exit, Refusal

COMMAND = [sys.executable, "-m", "worker", "demo"]
LIMIT_S = 120
NOTHING_WRONG = "Nothing was lost, and nothing was repeated."


def start(*options: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FORCE_COLOR")}
    return subprocess.Popen(
        [*COMMAND, *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_of(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    with process:
        out, err = process.communicate(timeout=LIMIT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="module")
def runs(
    computed_once: Callable[[str, Callable[[], list[subprocess.CompletedProcess[str]]]], Any],
) -> list[subprocess.CompletedProcess[str]]:
    """Two runs and one with `--json`, at the same time: they share nothing."""
    ended: list[subprocess.CompletedProcess[str]] = computed_once("demo", three_runs)
    return ended


def three_runs() -> list[subprocess.CompletedProcess[str]]:
    return [end_of(process) for process in [start(), start(), start("--json")]]


def lost_arr_of_the_story() -> Decimal:
    """Compute the sum to expect, from the bytes that are sent."""
    acts = [story.ten_sign_up(), story.three_cancel(), story.two_cancel_ahead_of_signup(), [story.fatal_cancellation()]]
    lines = [line for act in [*acts, story.while_down()] for line in act]
    signups = [json.loads(line.value or b"{}") for line in lines if line.topic == "signup"]
    mrr = {fields["customer_id"].lower(): fields["mrr"] for fields in reversed(signups)}
    left = {json.loads(line.value or b"{}")["customer_id"] for line in lines if line.topic == "cancellation"}
    return sum((round(Decimal(mrr[who]["amount"]) * 12, 2) for who in left if who in mrr), Decimal())


def test_demo_succeeds_with_empty_standard_error(runs: list[subprocess.CompletedProcess[str]]) -> None:
    for run in runs:
        assert (run.returncode, run.stderr) == (0, "")


def test_the_last_line_is_the_verdict(runs: list[subprocess.CompletedProcess[str]]) -> None:
    assert runs[0].stdout.splitlines()[-1] == NOTHING_WRONG


def test_the_arr_lost_is_that_of_the_records_sent_to_the_cent(runs: list[subprocess.CompletedProcess[str]]) -> None:
    total = f"${lost_arr_of_the_story():,.2f}"
    (row,) = [line for line in runs[0].stdout.splitlines() if "ARR lost  " in line and "equal" in line]
    assert row.split()[2:5] == [total, total, total]


def test_runs_have_the_same_plain_text_output(runs: list[subprocess.CompletedProcess[str]]) -> None:
    assert runs[0].stdout == runs[1].stdout
    assert "\x1b" not in runs[0].stdout
    assert max(map(len, runs[0].stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    "told",
    [
        "10 customers stored, $51,160.57 of MRR.",
        "3 events published; the 2 duplicates had no effect.",
        "2 cancellations parked",
        "9 rejected",
        "The worker was killed.",
        "The topic still has 3 events.",
        "$148,800.00",
        "Still parked: the cancellation of Marigold Health",
    ],
)
def test_each_step_prints_its_effect(runs: list[subprocess.CompletedProcess[str]], told: str) -> None:
    assert told in runs[0].stdout


@pytest.mark.parametrize("reason", [line.reason for line in story.nine_are_refused()])
def test_each_rejection_prints_its_reason(runs: list[subprocess.CompletedProcess[str]], reason: str) -> None:
    assert f" {reason} " in runs[0].stdout


def test_json_has_the_verdict_and_what_was_compared(runs: list[subprocess.CompletedProcess[str]]) -> None:
    told = json.loads(runs[2].stdout)
    total = str(lost_arr_of_the_story())
    assert told["ok"] is True
    assert told["lost"] == told["repeated"] == told["wrong"] == []
    assert told["compared"]["ARR lost"] == {"sent": total, "topics": total, "file": total}


def repeat_an_event(broker: Broker) -> None:
    """Publish again what is published, as a worker would that forgot it."""
    topic = broker.topics["churned"]
    consumer = Consumer({**broker.client, "group.id": "tamper"})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    (event,) = consumer.consume(1, 10)
    consumer.close()
    producer = Producer(dict(broker.client))
    producer.produce(topic, key=event.key(), value=event.value())
    assert producer.flush(10) == 0


def test_an_event_that_is_published_twice_fails_the_verdict(tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    with told.open("w") as file:
        is_well = run_demo(bootstrap_servers=None, console=Console(file=file, width=80), tamper=repeat_an_event)
    text = told.read_text()
    assert not is_well
    assert "Repeated: 1" in text
    assert "is on the topic 2 times" in " ".join(text.split())
    assert "DIFFERS" in text
    assert NOTHING_WRONG not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_no_process_behind(heard: None, number: signal.Signals) -> None:
    demo = start()
    worker = wait_for_child(demo.pid)
    demo.send_signal(number)
    assert end_of(demo).returncode != 0
    wait_until_gone(worker)


def wait_until_gone(pid: int) -> None:
    """Wait until a process has ended: the system ends it with its parent, which takes a moment on a busy machine."""
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def wait_for_child(pid: int) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = " ".join(task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")).split()
        if children:
            return int(children[0])
        time.sleep(0.05)
    raise TimeoutError("the demo started no worker")


def test_unreachable_kafka_is_one_sentence_and_exit_code_69() -> None:
    run = end_of(start("--bootstrap-servers", "127.0.0.1:1"))
    assert run.returncode == 69
    assert run.stdout == ""
    assert run.stderr.startswith("Kafka cannot be reached at 127.0.0.1:1")
    assert "Traceback" not in run.stderr


def test_demo_without_its_library_names_the_extra() -> None:
    without = "import sys; sys.modules['confluent_kafka'] = None; sys.argv = ['customer-worker', 'demo']\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{without}from worker.__main__ import main; main()"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 69
    assert "pip install 'customer-worker[demo]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_names_a_mechanism_that_its_client_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", ModuleType("gssapi"))
    monkeypatch.setenv("CUSTOMER_WORKER_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("CUSTOMER_WORKER_KAFKA__SASL_MECHANISM", "GSSAPI")
    with pytest.raises(Refusal, match="No provider for SASL mechanism GSSAPI") as refused, real_broker("localhost:1"):
        pass
    assert refused.value.code is Exit.CONFIGURATION


def test_stopped_worker_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "raise SystemExit('the disk is full')")
    worker = WorkerProcess(Broker({}, {}, command), tmp_path / "customers.duckdb", tmp_path / "worker.log", {})
    worker.wait()
    with pytest.raises(Refusal, match="ended unexpectedly with exit code 1") as refused:
        worker.require_running()
    assert "the disk is full" in str(refused.value)
