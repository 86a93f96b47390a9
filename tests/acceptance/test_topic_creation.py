"""Only `topics create` creates and alters topics, also on a broker that creates topics automatically."""

import json
from collections.abc import Sequence

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]

from tests.support.builders import ADA, BOB, signup_value
from tests.support.kafka.configuring import configure
from tests.support.operating import run, said
from tests.support.records import Message
from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(120)
NO, UNREACHABLE = 1, 69

REFUSED = Message("signup", ADA.encode(), b"no json")


def existing(stage: Stage) -> set[str]:
    """Return the topics of this stage's names that the broker has."""
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    return {name for name in admin.list_topics(timeout=30).topics if name.startswith(stage.name)}


def configs(stage: Stage, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return {name: entry.value for name, entry in admin.describe_configs([resource])[resource].result(30).items()}


def create_plainly(stage: Stage, topics: Sequence[str]) -> None:
    """Create the topics as the broker would by itself."""
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    for done in admin.create_topics([NewTopic(name, 1, 1) for name in topics]).values():
        done.result(30)


def test_misspelt_topics_are_not_created(creating_stage: Stage) -> None:
    stage = creating_stage
    stage.create_topics(1)
    stage.produce([REFUSED])
    stage.run_to_the_end_of_the_topics()
    before = existing(stage)
    names = {"TOPICS__SIGNUP": f"{stage.name}.sign", "TOPICS__CHURNED": f"{stage.name}.churn"}
    for command in (
        ["check"],
        ["status"],
        ["reconcile"],
        ["dead-letters", "redrive", "--execute"],
        ["replay", "--topic", "signup", "--execute"],
        ["run"],
    ):
        code, _, err = run(stage, *command, **names)
        assert existing(stage) == before, command
    assert code == UNREACHABLE, err
    assert "do not exist" in err


def test_topic_deleted_under_a_worker_stays_deleted(creating_stage: Stage) -> None:
    stage = creating_stage
    stage.create_topics(1)
    stage.produce([Message("signup", ADA.encode(), signup_value(ADA))])
    worker = stage.start()
    stage.wait_until_consumed(worker)
    admin = AdminClient({"bootstrap.servers": stage.kafka.bootstrap_servers, "log_level": 0})
    admin.delete_topics([stage.topics.signup])[stage.topics.signup].result(30)
    line = f"Topic {stage.topics.signup} not found in cluster metadata"
    worker.wait_until(lambda: bool(worker.events(line)), "the missing topic looked up")
    create_plainly(stage, [f"{stage.name}.later"])  # the broker creates in the order of the requests
    assert stage.topics.signup not in existing(stage)


def test_existing_topics_are_altered_with_execute_only(creating_stage: Stage) -> None:
    stage = creating_stage
    outputs = (stage.topics.churned, *stage.topics.dead_letters)
    create_plainly(stage, (stage.topics.signup, *outputs))
    letters = stage.topics.dead_letters[0]
    configure(stage.kafka.bootstrap_servers, letters, "cleanup.policy", "compact")
    configure(stage.kafka.bootstrap_servers, letters, "segment.ms", "86400000")
    before = {name: configs(stage, name) for name in outputs}

    code, out, _ = run(stage, "topics", "create", "--partitions", "1")
    printed = out.decode()
    assert code == NO
    assert stage.topics.cancellation in existing(stage), "a missing topic is created without --execute"
    assert "cleanup.policy to alter: delete to compact" in printed
    assert "--execute" in printed
    assert {name: configs(stage, name) for name in outputs} == before

    code, out, _ = run(stage, "topics", "create", "--execute", "--json")
    assert code == 0
    done = json.loads(out)
    assert done[stage.topics.churned] is False
    assert {
        "topic": letters,
        "setting": "cleanup.policy",
        "actual": "compact",
        "needed": "delete",
        "altered": True,
    } in (done["differences"])
    assert configs(stage, stage.topics.churned)["cleanup.policy"] == "compact"
    after = configs(stage, letters)
    wanted = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    assert after == before[letters] | wanted | {"max.message.bytes": str(8 * 1024 * 1024 + 64 * 1024)}
    said(stage, "check")
    said(stage, "topics", "create")


def test_run_warns_of_a_topic_that_can_lose_records(creating_stage: Stage) -> None:
    stage = creating_stage
    stage.create_topics(1)
    letters = stage.topics.dead_letters[0]
    configure(stage.kafka.bootstrap_servers, stage.topics.churned, "cleanup.policy", "delete")
    configure(stage.kafka.bootstrap_servers, letters, "retention.ms", "604800000")
    configure(stage.kafka.bootstrap_servers, letters, "max.message.bytes", "65536")
    stage.produce([Message("signup", BOB.encode(), signup_value(BOB))])
    worker = stage.run_to_the_end_of_the_topics()
    warned = {(line["topic"], line["setting"]) for line in worker.events("topic configuration differs")}
    assert warned == {
        (stage.topics.churned, "cleanup.policy"),
        (letters, "retention.ms"),
        (letters, "max.message.bytes"),
    }
