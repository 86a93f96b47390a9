"""Missing rights on Kafka are named with the command that grants them, by `check` and at start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.play import patiently
from tests.support.kafka.secured import (
    DESCRIBE,
    DESCRIBE_CONFIGS,
    GROUP,
    READ,
    TOPIC,
    TRANSACTIONAL_ID,
    USER,
    WRITE,
    Right,
    SecuredKafka,
    least_rights,
)
from tests.support.stage import Stage
from tests.support.worker_process import module_command, run_to_the_end

pytestmark = pytest.mark.timeout(120)
UNREACHABLE = 69


@pytest.fixture
def stage(secured_kafka: SecuredKafka, tmp_path: Path) -> Iterator[Stage]:
    """Yield a stage with topics, whose user has all the rights it needs."""
    stage = Stage(secured_kafka.kafka, tmp_path)
    stage.create_topics(1)
    stage.settings |= secured_kafka.settings
    secured_kafka.allow(*rights_of(stage))
    patiently(stage.group_is_empty)  # a young broker has no coordinator yet
    yield stage
    stage.close()


def rights_of(stage: Stage) -> list[Right]:
    return least_rights(stage.topics.inputs, (stage.topics.churned, *stage.topics.dead_letters), stage.group)


def refused(stage: Stage) -> str:
    """Return the single line with which the start of a worker fails."""
    worker = stage.start()
    assert worker.wait() == UNREACHABLE, worker.tail()
    [line] = worker.said().splitlines()
    assert "Traceback" not in line
    why = json.loads(line)["reason"]
    assert f"kafka-acls.sh --bootstrap-server {stage.settings['KAFKA__BOOTSTRAP_SERVERS']} --add" in why
    assert f"--allow-principal User:{USER}" in why
    return str(why)


def checks(stage: Stage) -> tuple[int, dict[str, dict[str, object]]]:
    code, said = run_to_the_end(module_command("check", "--json"), stage.settings, stage.directory)
    return code, {one["name"]: one for one in json.loads(said)}


def test_start_without_a_right_names_it(secured_kafka: SecuredKafka, stage: Stage) -> None:
    missing: list[Right] = [
        (GROUP, stage.group, READ),
        (TRANSACTIONAL_ID, f"{stage.group}-relay", WRITE),
        (TOPIC, stage.topics.churned, WRITE),
        (TOPIC, stage.topics.signup, READ),
    ]
    secured_kafka.revoke(*missing)
    why = refused(stage)
    assert f"READ on topic {stage.topics.signup}, WRITE on topic {stage.topics.churned}" in why
    assert f"READ on group {stage.group}, WRITE on transactional id {stage.group}-relay" in why
    assert f"--operation Read --topic {stage.topics.signup} --group {stage.group}`" in why
    assert f"--operation Write --topic {stage.topics.churned} --transactional-id {stage.group}-relay`" in why
    assert "exist" not in why

    secured_kafka.allow(*missing[1:])
    assert "on topic" not in refused(stage)  # the group's alone


def test_check_lists_each_right(secured_kafka: SecuredKafka, stage: Stage) -> None:
    code, found = checks(stage)
    assert code == 0
    rights = {name: one for name, one in found.items() if name.startswith("right ")}
    assert len(rights) == len(rights_of(stage))
    assert {one["found"] for one in rights.values()} == {"granted"}

    secured_kafka.revoke((GROUP, stage.group, READ), (TRANSACTIONAL_ID, f"{stage.group}-relay", WRITE))
    secured_kafka.revoke((TOPIC, stage.topics.signup, READ), (TOPIC, stage.topics.churned, WRITE))
    secured_kafka.allow((TRANSACTIONAL_ID, f"{stage.group}-relay", DESCRIBE))
    code, found = checks(stage)
    assert code == 1
    assert {name for name, one in found.items() if not one["ok"]} == {
        f"right READ on group {stage.group}",
        f"right WRITE on transactional id {stage.group}-relay",
        f"right READ on topic {stage.topics.signup}",
        f"right WRITE on topic {stage.topics.churned}",
    }
    assert "kafka-acls.sh" in str(found[f"right READ on group {stage.group}"]["advice"])
    assert not found[f"group {stage.group}"]["known"]
    hidden = found[f"topic {stage.topics.signup}"]
    assert not hidden["known"]
    assert "exist" not in str(hidden["found"])


def test_check_warns_of_invisible_configuration(secured_kafka: SecuredKafka, stage: Stage) -> None:
    topics = (*stage.topics.inputs, stage.topics.churned, *stage.topics.dead_letters)
    code, found = checks(stage)
    assert code == 0
    assert {name for name, one in found.items() if not one["known"]} >= {f"topic {name}" for name in topics}
    assert "DescribeConfigs" in str(found[f"topic {stage.topics.churned}"]["advice"])
    _, text = run_to_the_end(module_command("check"), stage.settings, stage.directory)
    assert f"WARN topic {stage.topics.churned}: 1 partitions, configuration not known" in text

    secured_kafka.allow(*((TOPIC, name, DESCRIBE_CONFIGS) for name in topics))
    code, found = checks(stage)
    assert code == 0
    assert all(one["known"] for one in found.values())


def test_missing_topic_is_distinguished_from_a_hidden_one(secured_kafka: SecuredKafka, stage: Stage) -> None:
    stage.settings["TOPICS__SIGNUP"] = missing = f"{stage.name}-missing"
    secured_kafka.allow(
        *((TOPIC, name, operation) for name in (missing, f"{missing}-dlt") for operation in (READ, WRITE))
    )
    worker = stage.start()
    assert worker.wait() == UNREACHABLE
    assert f"these topics do not exist: {missing}, {missing}-dlt." in worker.said()


def test_status_names_a_hidden_topic_as_such(secured_kafka: SecuredKafka, stage: Stage) -> None:
    worker = stage.start()
    worker.wait_until(lambda: bool(worker.events("recovered")), "recovered")
    assert worker.stop() == 0
    secured_kafka.revoke((TOPIC, stage.topics.signup, READ))
    _, said = run_to_the_end(module_command("status"), stage.settings, stage.directory)
    assert f"{stage.topics.signup}: the right READ on the topic is missing" in said
    assert "not exist" not in said
