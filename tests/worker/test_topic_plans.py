"""The configuration that each topic needs, and what differs from it."""

import pytest

from worker.kafka.topic_configs import Configs
from worker.kafka.topic_plans import Difference, TopicPlan, topic_plans
from worker.settings import Settings

MIB = 1024 * 1024
DEFAULTS = {
    "cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "max.message.bytes": "1048588",
}  # fmt: skip


def plans(**sources: str) -> dict[str, TopicPlan]:
    configs = {f"customer.{name}": DEFAULTS | {"max.message.bytes": size} for name, size in sources.items()}
    return {plan.name: plan for plan in topic_plans(Settings(), configs)}


def changes(differences: list[Difference]) -> dict[str, str]:
    return {each.setting: each.value for each in differences}


def test_inputs_have_no_required_configuration() -> None:
    plan = plans()["customer.signup"]
    assert plan.new_configs == {}
    assert plan.differences(DEFAULTS) == []


def test_churned_topic_is_compacted_with_the_brokers_size() -> None:
    plan = plans()["customer.churned"]
    assert plan.new_configs == {"cleanup.policy": "compact"}
    assert changes(plan.differences(DEFAULTS)) == {"cleanup.policy": "compact"}
    assert plan.differences(DEFAULTS | {"cleanup.policy": "compact"}) == []


def test_churned_topic_takes_the_largest_value() -> None:
    plan = plans()["customer.churned"]
    good = {"cleanup.policy": "compact"}
    assert plan.differences(good | {"max.message.bytes": str(128 * 1024)}) == []
    [small] = plan.differences(good | {"max.message.bytes": "65536"})
    assert small.value == "1048588"
    assert str(small) == f"max.message.bytes=65536 (needed: at least {72 * 1024})"


def test_dead_letter_topics_have_no_retention_limit() -> None:
    plan = plans()["customer.signup-dlt"]
    kept = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    assert plan.new_configs == kept | {"max.message.bytes": str(4 * MIB)}
    compacted = DEFAULTS | {"cleanup.policy": "compact", "retention.bytes": "1000"}
    assert changes(plan.differences(compacted)) == kept | {"max.message.bytes": str(4 * MIB)}
    assert plan.differences(plan.new_configs) == []


@pytest.mark.parametrize(
    ("source", "taken", "wanted"),
    [
        (MIB, MIB + 64 * 1024, None),
        (MIB, MIB + 64 * 1024 - 1, 4 * MIB),
        (8 * MIB, 4 * MIB, 8 * MIB + 64 * 1024),
    ],
    ids=["just enough", "a byte too few", "more than a new topic takes"],
)
def test_dead_letter_topic_takes_what_its_source_takes(source: int, taken: int, wanted: int | None) -> None:
    plan = plans(signup=str(source))["customer.signup-dlt"]
    actual = plan.new_configs | {"max.message.bytes": str(taken)}
    assert changes(plan.differences(actual)) == ({} if wanted is None else {"max.message.bytes": str(wanted)})


@pytest.mark.parametrize("actual", [{}, {"segment.ms": "1"}], ids=["nothing", "something else"])
def test_an_entry_that_a_broker_does_not_have_is_not_compared(actual: Configs) -> None:
    assert [plan.differences(actual) for plan in plans().values()] == [[]] * 5
