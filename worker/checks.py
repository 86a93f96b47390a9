"""What has to be true before the worker can run: each thing in one line, with what to do where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from worker import kafka
from worker.settings import Settings
from worker.stopping import Exit, Refusal
from worker.topic_configs import MAX_MESSAGE_BYTES
from worker.topic_setup import TopicState, read_topics, warn_of_differences

SET_UP = "run `customer-worker topics create --execute`"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `advice` says what to do where it is not well."""

    name: str
    is_well: bool
    found: str
    advice: str = ""


async def require_topics(settings: Settings) -> None:
    """Raise `Refusal` unless Kafka answers and has the five topics; log where their configuration is not as needed."""
    topics = settings.topics
    async with kafka.admin_client(settings.kafka) as admin:
        counts = await kafka.partition_counts(admin, topics.inputs + topics.outputs)
        await warn_of_differences(admin, settings)
    missing = [name for name in topics.inputs + topics.outputs if name not in counts]
    if missing:
        raise Refusal(
            f"these topics do not exist: {', '.join(missing)}. Create them with `customer-worker topics create`, or "
            "name others in CUSTOMER_WORKER_TOPICS__*",
            Exit.UNREACHABLE,
        )


async def kafka_checks(settings: Settings) -> AsyncIterator[Check]:
    """The brokers, and each topic with its partitions and what its configuration could lose."""
    servers = settings.kafka.bootstrap_servers
    try:
        async with kafka.admin_client(settings.kafka) as admin:
            brokers = (await admin.describe_cluster())["brokers"]
            yield Check("brokers", is_well=True, found=f"{len(brokers)} at {servers}")
            existing, missing = await read_topics(admin, settings)
            for plan in missing:
                advice = "run `customer-worker topics create`"
                yield Check(f"topic {plan.name}", is_well=False, found="does not exist", advice=advice)
            for topic in existing:
                yield _topic_check(topic)
            for topic in existing:
                if topic.plan.least_batch:
                    yield _room_check(topic)
    except Refusal as refusal:
        yield Check("brokers", is_well=False, found=f"not reached at {servers}", advice=str(refusal))


def _topic_check(topic: TopicState) -> Check:
    name, found = f"topic {topic.plan.name}", f"{topic.partitions} partitions"
    if topic.configs is None:
        advice = "grant DESCRIBE_CONFIGS on it, so that retention and sizes can be checked"
        return Check(name, is_well=True, found=f"{found}, configuration not visible", advice=advice)
    differing = [each for each in topic.differences if each.setting != MAX_MESSAGE_BYTES]
    if differing:
        found = ", ".join([found, *map(str, differing)])
        return Check(name, is_well=False, found=found, advice=f"{differing[0].risk}: {SET_UP}")
    return Check(name, is_well=True, found=found)


def _room_check(topic: TopicState) -> Check:
    """Check that the largest record which the worker may send fits the topic."""
    plan, name = topic.plan, f"room in {topic.plan.name}"
    if topic.configs is None:
        return Check(name, is_well=True, found="not known: the topic's configuration is not visible")
    found = f"takes {int(topic.configs[MAX_MESSAGE_BYTES]):,} bytes; the worker may send {plan.least_batch:,} at once"
    small = [each for each in topic.differences if each.setting == MAX_MESSAGE_BYTES]
    if not small:
        return Check(name, is_well=True, found=found)
    advice = (
        f"set {MAX_MESSAGE_BYTES} of {plan.name} to {plan.least_batch} or more: {small[0].risk}. To do so, {SET_UP}"
    )
    return Check(name, is_well=False, found=found, advice=advice)
