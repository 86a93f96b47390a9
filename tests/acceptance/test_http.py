"""The HTTP port of a running worker."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(120)
WRONG_CONFIGURATION = 78


def url_of(worker: WorkerProcess) -> str:
    worker.wait_until(lambda: bool(worker.events("serving")), "serving", 60)
    return str(worker.events("serving")[0]["url"])


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def started(stage: Stage) -> tuple[WorkerProcess, str]:
    stage.create_topics()
    worker = stage.start(HTTP__ENABLED="true", HTTP__PORT="0")
    return worker, url_of(worker)


def test_worker_is_live_at_once_and_ready_once_it_consumes(stage: Stage) -> None:
    worker, url = started(stage)
    assert get(f"{url}/livez") == (200, "ok\n")
    worker.wait_until(lambda: get(f"{url}/readyz")[0] == 200, "ready", 60)
    status, said = get(f"{url}/readyz?verbose")
    assert status == 200
    assert {check["name"] for check in json.loads(said)["checks"]} >= {"consumer", "partitions", "store", "outbox"}
    assert worker.stop() == 0


def test_the_contract_is_served_as_documents(stage: Stage) -> None:
    _, url = started(stage)
    document: dict[str, Any] = json.loads(get(f"{url}/asyncapi.json")[1])
    assert document["asyncapi"].startswith("3.")
    assert {channel["address"] for channel in document["channels"].values()} == {
        stage.topics.signup,
        stage.topics.cancellation,
        stage.topics.churned,
        *stage.topics.dead_letters,
    }
    servers = {server["host"] for server in document["servers"].values()}
    assert servers == set(stage.kafka.bootstrap_servers.split(","))
    for name in ("signup", "cancellation", "churned"):
        assert "properties" in json.loads(get(f"{url}/schemas/{name}.json")[1])
    assert get(f"{url}/schemas/nothing.json")[0] == 404


def test_http_is_read_only(stage: Stage) -> None:
    _, url = started(stage)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(f"{url}/livez", method="POST"), timeout=10)
    with refused.value as answer:
        assert answer.code == 405


def test_port_in_use_is_one_sentence(stage: Stage) -> None:
    stage.create_topics()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = stage.start(HTTP__ENABLED="true", HTTP__PORT=str(taken.getsockname()[1]))
        assert worker.wait() == WRONG_CONFIGURATION, worker.tail()
    assert "CUSTOMER_WORKER_HTTP__PORT" in worker.said()
