"""`customer-worker check` lists each topic with its problems and advice."""

import json
import random

import pytest

from tests.support.kafka.configuring import configure
from tests.support.records import Message
from tests.support.stage import Stage
from tests.support.worker_process import module_command, run_to_the_end

pytestmark = pytest.mark.timeout(120)
ID = b"6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
EIGHT_MIB = 8 * 1024 * 1024


def test_created_topics_pass_the_check(stage: Stage) -> None:
    stage.create_topics()
    code, checks = _check(stage)
    assert {name for name, one in checks.items() if not one["ok"]} == set()
    assert code == 0
    assert {f"topic {name}" for name in (*stage.topics.inputs, stage.topics.churned)} <= checks.keys()


def test_topics_that_do_not_exist_are_named(stage: Stage) -> None:
    code, checks = _check(stage)
    assert code == 1
    for name in (*stage.topics.inputs, stage.topics.churned, *stage.topics.dead_letters):
        assert checks[f"topic {name}"]["found"] == "does not exist"
        assert "topics create" in str(checks[f"topic {name}"]["advice"])


def test_churned_topic_without_compaction_fails_the_check(stage: Stage) -> None:
    stage.create_topics()
    configure(stage.kafka.bootstrap_servers, stage.topics.churned, "cleanup.policy", "delete")
    code, checks = _check(stage)
    assert code == 1
    assert "cleanup.policy=delete (needed: compact)" in str(checks[f"topic {stage.topics.churned}"]["found"])


def test_input_larger_than_its_dead_letter_topic_fails_check(stage: Stage) -> None:
    stage.create_topics(partitions=1)
    dead_letters = f"{stage.topics.signup}-dlt"
    configure(stage.kafka.bootstrap_servers, stage.topics.signup, "max.message.bytes", str(EIGHT_MIB))
    code, checks = _check(stage)
    room = checks[f"room in {dead_letters}"]
    assert code == 1
    assert not room["ok"]
    wanted = str(EIGHT_MIB + 64 * 1024)
    assert f"max.message.bytes of {dead_letters} to {wanted}" in str(room["advice"])
    assert checks[f"room in {stage.topics.cancellation}-dlt"]["ok"]

    configure(stage.kafka.bootstrap_servers, dead_letters, "max.message.bytes", wanted)
    assert _check(stage)[0] == 0
    incompressible = random.Random(5).randbytes(EIGHT_MIB - 1024)
    stage.produce([Message("signup", ID, incompressible)])
    stage.run_to_the_end_of_the_topics()
    stage.require_as_expected()


def _check(stage: Stage) -> tuple[int, dict[str, dict[str, object]]]:
    """Run `check` and return the exit code, and each check by its name."""
    code, said = run_to_the_end(module_command("check", "--json"), stage.settings, stage.directory)
    return code, {one["name"]: one for one in json.loads(said)}
