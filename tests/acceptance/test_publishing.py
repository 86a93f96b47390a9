"""Kafka refuses a transaction: log and `/readyz` name the cause, and nothing is lost or repeated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.acceptance.test_http import get, url_of
from tests.support.builders import cancellation_value, signup_value
from tests.support.comparison import require_as_expected
from tests.support.kafka.local import local_kafka
from tests.support.kafka.secured import READ, TOPIC, TRANSACTIONAL_ID, WRITE, Right, SecuredKafka, least_rights
from tests.support.operating import ends
from tests.support.records import Message
from tests.support.stage import Stage
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.timeout(180)
FAILED = "publishing failed, recovering"
NO_COORDINATOR = "transaction.state.log.replication.factor=3\ntransaction.state.log.min.isr=2\n"


@pytest.fixture
def stage(forgetful_kafka: SecuredKafka, tmp_path: Path) -> Iterator[Stage]:
    """Yield a stage on that Kafka, whose worker has the rights it needs."""
    stage = Stage(forgetful_kafka.kafka, tmp_path)
    stage.create_topics(1)
    stage.settings |= forgetful_kafka.settings
    forgetful_kafka.allow(*rights(stage))
    yield stage
    stage.close()


def rights(stage: Stage) -> Sequence[Right]:
    return least_rights(stage.topics.inputs, (stage.topics.churned, *stage.topics.dead_letters), stage.group)


def churn_and_dead_letter(stage: Stage, number: int) -> None:
    """Send what leads to one event and one dead letter on each dead letter topic."""
    customer_id = str(UUID(int=number))
    key = customer_id.encode()
    stage.produce(
        [
            Message("signup", key, signup_value(customer_id), partition=0),
            Message("signup", key, b"no json", partition=0),
            Message("cancellation", key, cancellation_value(customer_id), partition=0),
            Message("cancellation", key, b"no json", partition=0),
        ]
    )


def start(stage: Stage) -> tuple[WorkerProcess, str]:
    worker = stage.start(HTTP__ENABLED="true", HTTP__PORT="0", LOG__FORMAT="json")
    return worker, url_of(worker)


def reasons(worker: WorkerProcess) -> list[str]:
    return [str(line["error"]) for line in worker.events(FAILED)]


def wait_for_failures(worker: WorkerProcess, url: str, count: int) -> None:
    """Wait for so many failed attempts. The log does not repeat each."""

    def failures() -> int:
        recoveries = re.findall(
            r'^customer_worker_recover_total\{cause="(\w+)"\} (\S+)', get(f"{url}/metrics")[1], re.MULTILINE
        )
        return sum(int(float(number)) for cause, number in recoveries if cause != "start")

    worker.wait_until(lambda: failures() >= count, f"failed {count} times")


def wait_until_ready(worker: WorkerProcess, url: str) -> None:
    worker.wait_until(lambda: get(f"{url}/readyz")[0] == 200, "ready")


def unwell(url: str) -> dict[str, str]:
    """Return the reason of each failing check of `/readyz`."""
    found: dict[str, Any] = json.loads(get(f"{url}/readyz?verbose")[1])
    return {check["name"]: json.dumps(check) for check in found["checks"] if not check["ok"]}


def require_exactly_once(stage: Stage) -> None:
    require_as_expected(stage.expected(), stage.published(), stage.store(), stage.topics, partitions_of_churned=[1])


def require_quiet(worker: WorkerProcess) -> None:
    """No traceback and no message of asyncio or aiokafka."""
    assert worker.errors() == []
    for noise in ("never retrieved", "Traceback", "Error(", "aiokafka"):
        assert noise not in worker.said(), noise


def test_missing_transaction_coordinator_is_named(tmp_path: Path) -> None:
    with local_kafka(1, properties=NO_COORDINATOR) as kafka:
        stage = Stage(kafka, tmp_path)
        stage.create_topics(1)
        worker, url = start(stage)
        churn_and_dead_letter(stage, 1)
        wait_for_failures(worker, url, 1)
        assert "the transaction coordinator" in reasons(worker)[0]
        assert "transaction.state.log.replication.factor" in unwell(url)["receipt"]
        assert "customer_worker_publishing_failing 1.0" in get(f"{url}/metrics")[1]
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic("__transaction_state", 4, 1)])["__transaction_state"].result(30)
        wait_until_ready(worker, url)
        assert "customer_worker_publishing_failing 0.0" in get(f"{url}/metrics")[1]
        stage.finish(worker)
        require_quiet(worker)
        require_exactly_once(stage)
        stage.close()


@pytest.mark.parametrize("missing", ["dead letter topic", "transactional id"])
def test_missing_right_is_named_and_writes_nothing(forgetful_kafka: SecuredKafka, stage: Stage, missing: str) -> None:
    denied: Right = {
        "dead letter topic": (TOPIC, stage.topics.dead_letters[0], WRITE),
        "transactional id": (TRANSACTIONAL_ID, f"{stage.group}-relay", WRITE),
    }[missing]
    worker, url = start(stage)
    wait_until_ready(worker, url)
    churn_and_dead_letter(stage, 1)
    stage.wait_until_published(worker)
    forgetful_kafka.revoke(denied)
    churn_and_dead_letter(stage, 2)
    wait_for_failures(worker, url, 2)
    after_two = ends(stage)
    assert denied[1] in unwell(url)["outbox"]
    wait_for_failures(worker, url, 3)
    assert ends(stage) == after_two, "an attempt that is bound to fail has written records"
    for reason in reasons(worker):
        assert reason.startswith("Kafka does not grant the worker WRITE on ")
        assert denied[1] in reason
    metrics = get(f"{url}/metrics")[1]
    assert 'customer_worker_recover_total{cause="fenced"} 0.0' in metrics
    assert 'customer_worker_recover_total{cause="authorization"} 0.0' not in metrics
    forgetful_kafka.allow(denied)
    stage.finish(worker)
    require_quiet(worker)
    require_exactly_once(stage)


def test_unreadable_receipt_is_named_at_once(forgetful_kafka: SecuredKafka, stage: Stage) -> None:
    read: Right = (TOPIC, stage.topics.churned, READ)
    write: Right = (TOPIC, stage.topics.churned, WRITE)
    worker, url = start(stage)
    wait_until_ready(worker, url)
    forgetful_kafka.revoke(read, write)
    churn_and_dead_letter(stage, 1)
    wait_for_failures(worker, url, 1)
    forgetful_kafka.allow(write)
    missing = f"Kafka does not grant the worker READ on topic {stage.topics.churned}."
    worker.wait_until(lambda: missing in unwell(url).get("receipt", ""), "READ is named")
    forgetful_kafka.allow(read)
    wait_until_ready(worker, url)
    assert worker.stop() == 0
    require_quiet(worker)


def test_quiet_week_costs_a_new_producer_only(forgetful_kafka: SecuredKafka, stage: Stage) -> None:
    worker, url = start(stage)
    wait_until_ready(worker, url)
    churn_and_dead_letter(stage, 1)
    stage.wait_until_published(worker)
    while f"{stage.group}-relay" in forgetful_kafka.kafka.tool("org.apache.kafka.tools.TransactionsCommand", "list"):
        worker.require_running()
    churn_and_dead_letter(stage, 2)
    stage.finish(worker)
    assert worker.events("producer renewed")
    assert reasons(worker) == []
    require_quiet(worker)
    require_exactly_once(stage)
