"""`topics acls` prints the least rights that the main job needs, and `check` names each that is missing."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]

from tests.faults.play import patiently
from tests.support.builders import ADA, BOB
from tests.support.kafka.secured import USER, SecuredKafka
from tests.support.kafka.secured import Right as Binding
from tests.support.records import Message
from tests.support.stage import Stage
from tests.support.worker_process import module_command, run_to_the_end
from worker.kafka.rights import Right, printed_rights
from worker.monitoring.checks import Check
from worker.preflight import kafka_checks

pytestmark = pytest.mark.timeout(240)
ACLS = "org.apache.kafka.tools.AclCommand"
SIGNUP = (
    '{{"customer_id": "{}", "industry": "FinTech", "plan_tier": "growth", "signup_date": "2026-01-15", "mrr": "499"}}'
)
CANCELLATION = '{{"customer_id": "{}", "cancellation_date": "2026-06-30"}}'


@pytest.fixture
def stage(secured_kafka: SecuredKafka, tmp_path: Path) -> Iterator[Stage]:
    """Yield a stage with topics, and no rights; its group has a name that a shell would take apart."""
    stage = Stage(secured_kafka.kafka, tmp_path)
    stage.create_topics()
    stage.group = f"{stage.name} it's; $HOME"
    stage.settings |= secured_kafka.settings | {"KAFKA__GROUP_ID": stage.group}
    yield stage
    stage.close()


def printed(stage: Stage, *more: str) -> list[list[str]]:
    """Return the words of each printed command, as a shell would read them."""
    command = module_command("topics", "acls", "--principal", f"User:{USER}", *more)
    code, said = run_to_the_end(command, stage.settings, stage.directory)
    assert code == 0, said
    return [shlex.split(line) for line in said.splitlines()]


def check(stage: Stage) -> dict[str, Check]:
    async def collect() -> dict[str, Check]:
        return {one.name: one async for one in kafka_checks(settings)}

    with stage.worker_settings() as settings:
        return asyncio.run(collect())


def rights(stage: Stage) -> list[Right]:
    with stage.worker_settings() as settings:
        return printed_rights(settings, for_redrive=False)


def binding(right: Right) -> Binding:
    kind = ResourceType[right.resource.replace("-", "_").upper()]
    return kind, right.name, AclOperation[right.operation]


def test_printed_rights_are_enough_and_each_is_checked(secured_kafka: SecuredKafka, stage: Stage) -> None:
    for command in printed(stage):
        address = ["--bootstrap-server", stage.settings["KAFKA__BOOTSTRAP_SERVERS"]]
        assert command[:5] == ["kafka-acls.sh", *address, "--add", "--allow-principal"]
        stage.kafka.tool(ACLS, *command[3:])  # by the administrator's listener
    patiently(stage.group_is_empty)  # a young broker has no coordinator yet
    assert {name for name, one in check(stage).items() if not (one.is_well and one.is_known)} == set()

    stage.produce([Message("signup", each.encode(), SIGNUP.format(each).encode()) for each in (ADA, BOB)])
    stage.produce([Message("cancellation", ADA.encode(), CANCELLATION.format(ADA).encode())])
    stage.produce([Message("cancellation", None, b"no json")])
    worker = stage.run_to_the_end_of_the_topics()
    assert worker.errors() == []
    stage.require_as_expected()

    for right in rights(stage):
        secured_kafka.revoke(binding(right))
        found = check(stage)
        secured_kafka.allow(binding(right))
        require_named(right, found)
    assert all(one.is_well and one.is_known for one in check(stage).values())


def require_named(right: Right, found: dict[str, Check]) -> None:
    """Check that this right, and no other, is reported as missing, with the command that grants it."""
    failed = {name for name, one in found.items() if not one.is_well}
    if right.operation == "DESCRIBE_CONFIGS":
        named = found[f"topic {right.name}"]
        assert (failed, named.is_known) == (set(), False), right
        assert "configuration not known" in named.found
    else:
        named = found[f"right {right}"]
        assert failed == {named.name}, right
        assert named.found == "missing"
    operation = "".join(part.capitalize() for part in right.operation.split("_"))
    assert f"--operation {operation} --{right.resource} {shlex.quote(right.name)}" in named.advice


def test_redrive_needs_to_write_the_inputs(stage: Stage) -> None:
    [write] = [command for command in printed(stage, "--redrive") if "Write" in command]
    [without] = [command for command in printed(stage) if "Write" in command]
    assert set(write) - set(without) == set(stage.topics.inputs)
