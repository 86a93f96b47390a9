"""A worker that its group does not accept yet can be seen and stopped; one that cannot share the group refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from tests.acceptance.test_http import get, url_of
from tests.support.kafka.cluster import Kafka
from tests.support.kafka.local import local_kafka
from tests.support.operating import run, serve
from tests.support.stage import Stage
from tests.support.worker_process import module_command

pytestmark = pytest.mark.timeout(120)
UNREACHABLE = 69
CLIENT = "nightly-report"
JOINS_UNAWARE = """
from worker import start_failures
from worker.consumer import joining

async def not_there_yet(*_):
    pass

joining.require_compatible_members = not_there_yet
from worker.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def lonely() -> Iterator[Kafka]:
    """One broker that cannot make the topic of the groups' offsets, as it wants three copies of it."""
    with local_kafka(1, properties="offsets.topic.replication.factor=3\n") as running:
        yield running


def test_missing_coordinator_is_seen_and_the_worker_stops(lonely: Kafka, tmp_path: Path) -> None:
    stage = Stage(lonely, tmp_path)
    stage.create_topics(1)
    serve(stage)
    worker = stage.start()
    try:
        url = url_of(worker)
        worker.wait_until(lambda: bool(worker.events("group not joined yet")), "the wait logged", 20)
        assert get(f"{url}/livez") == (200, "ok\n")
        status, said = get(f"{url}/readyz?verbose")
        assert status == 503
        [partitions] = [check for check in json.loads(said)["checks"] if check["name"] == "partitions"]
        assert "offsets.topic.replication.factor" in partitions["found"]
        assert get(f"{url}/")[0] == get(f"{url}/metrics")[0] == 200
        code, out, err = run(stage, "status")
        assert code == 0, err
        assert b"offsets.topic.replication.factor" in out
        assert len(worker.events("group not joined yet")) == 1
        code, out, _ = run(stage, "check")
        assert code == 1
        assert f"FAIL group {stage.group}: its coordinator is not available".encode() in out
        assert worker.stop() == 0, worker.tail()
        assert "Traceback" not in worker.said()
    finally:
        stage.close()


@pytest.mark.parametrize(
    ("protocol", "command"),
    [
        ("classic", module_command("run")),
        ("consumer", module_command("run")),
        ("classic", [sys.executable, "-c", JOINS_UNAWARE, "run"]),
    ],
    ids=["classic", "consumer", "joined while the worker started"],
)
def test_member_of_another_kind_is_named(stage: Stage, protocol: str, command: list[str]) -> None:
    stage.create_topics(1)
    options = {
        "bootstrap.servers": stage.kafka.bootstrap_servers,
        "group.id": stage.group,
        "client.id": CLIENT,
        "group.protocol": protocol,
    }
    with closing(Consumer(options)) as stranger:
        stranger.subscribe([stage.topics.signup])
        assigned = 0
        while not assigned:
            stranger.poll(0.1)
            assigned = len(stranger.assignment())
        code, out, _ = run(stage, "check")
        assert code == 1
        assert f"FAIL group {stage.group}: a worker cannot join it".encode() in out
        worker = stage.start(command)
        assert worker.wait() == UNREACHABLE, worker.tail()
    why = worker.events("start failed")[0]["reason"]
    assert f"group {stage.group} has members of another kind" in str(why)
    assert f"{CLIENT} at 127.0.0.1" in str(why)
    assert "Traceback" not in worker.said()


def test_group_that_such_a_member_has_left_is_joined(stage: Stage) -> None:
    stage.create_topics(1)
    options = {
        "bootstrap.servers": stage.kafka.bootstrap_servers,
        "group.id": stage.group,
        "group.protocol": "consumer",
    }
    with closing(Consumer(options)) as stranger:
        stranger.subscribe([stage.topics.signup])
        while not stranger.assignment():
            stranger.poll(0.1)
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
    assert worker.stop() == 0
