"""What keeps the worker from starting is said in one plain message, with the exit code the contract gives it."""

import time

import pytest

from tests.store.held_file import held
from tests.support.corpus import make_corpus
from tests.support.kafka.local import free_ports
from tests.support.stage import PARTITIONS, Stage

pytestmark = pytest.mark.timeout(120)
CONFIGURATION, UNREACHABLE = 78, 69
START_LIMIT_S = 30


def test_missing_topics_are_named_with_the_create_command(stage: Stage) -> None:
    said = _require_refused(stage, UNREACHABLE)
    assert stage.topics.signup in said
    assert "topics create" in said


def test_a_broker_that_does_not_answer_is_named(stage: Stage) -> None:
    [port] = free_ports(1)
    said = _require_refused(stage, UNREACHABLE, KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in said


def test_a_store_that_another_process_holds_is_named(stage: Stage) -> None:
    stage.create_topics()
    with held(stage.store_file):
        said = _require_refused(stage, UNREACHABLE)
    assert stage.store_file.name in said


def test_a_store_that_is_no_database_is_named_and_left_alone(stage: Stage) -> None:
    stage.create_topics()
    stage.store_file.write_bytes(b"someone's holiday pictures" * 500)
    said = _require_refused(stage, UNREACHABLE)
    assert stage.store_file.name in said
    assert stage.store_file.read_bytes().startswith(b"someone's holiday pictures")


def test_every_wrong_setting_is_named_and_no_secret_is_shown(stage: Stage) -> None:
    said = _require_refused(
        stage,
        CONFIGURATION,
        BATCH__MAX_RECORDS="many",
        KAFKA__SECURITY_PROTOCOL="CARRIER_PIGEON",
        KAFKA__SASL_PASSWORD="hunter2-is-secret",  # the test looks that it is not shown
        STORE__URL="papyrus:///scroll?password=hunter2-is-secret",
        TOPICS__SINGUP="customer.signup",
    )
    for name in ("BATCH__MAX_RECORDS", "KAFKA__SECURITY_PROTOCOL", "STORE__URL", "TOPICS__SINGUP"):
        assert f"CUSTOMER_WORKER_{name}" in said
    assert "hunter2" not in said


def test_second_worker_of_the_group_stops_for_safety(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> None:
    stage.create_topics()
    stage.produce(make_corpus(100, PARTITIONS, troubles=False).messages)
    first = stage.start()
    stage.wait_until_consumed(first)
    elsewhere = tmp_path_factory.mktemp("second") / "customers.duckdb"
    second = stage.start(STORE__URL=f"duckdb:///{elsewhere}")
    first.wait_until(lambda: second.exit_code is not None or first.exit_code is not None, "one of them stopped")
    stopped = second if second.exit_code is not None else first
    assert stopped.exit_code == 70, stopped.tail()
    assert "another worker" in stopped.said()


def _require_refused(stage: Stage, code: int, **settings: str) -> str:
    began = time.monotonic()
    worker = stage.start(**settings)
    found = worker.wait(START_LIMIT_S)
    said = worker.said()
    assert found == code, f"ended with {found} instead of {code}:\n{said}"
    assert time.monotonic() - began < START_LIMIT_S
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) <= 1 + len(settings), f"more than one plain message:\n{said}"
    return said
