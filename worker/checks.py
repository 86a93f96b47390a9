"""What has to be true before the worker can run: each thing in one line, with what to do where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient

from worker import kafka
from worker.settings import Settings
from worker.stopping import Exit, Refusal

ROOM_FOR_THE_REASON = 64 * 1024
"""By so many bytes a dead letter may be larger than its record."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `advice` says what to do where it is not well."""

    name: str
    is_well: bool
    found: str
    advice: str = ""


async def require_topics(settings: Settings) -> None:
    """Raise `Refusal` unless Kafka answers and has the five topics."""
    topics = settings.topics
    async with kafka.admin_client(settings.kafka) as admin:
        counts = await kafka.partition_counts(admin, topics.inputs + topics.outputs)
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
            for plan in kafka.topic_plans(settings):
                yield await _topic_check(admin, plan)
            for topic in settings.topics.inputs:
                yield await _room_check(admin, topic, topic + settings.topics.dead_letter_suffix)
    except Refusal as refusal:
        yield Check("brokers", is_well=False, found=f"not reached at {servers}", advice=str(refusal))


async def _topic_check(admin: AIOKafkaAdminClient, plan: kafka.TopicPlan) -> Check:
    name = f"topic {plan.name}"
    counts = await kafka.partition_counts(admin, [plan.name])
    if plan.name not in counts:
        return Check(name, is_well=False, found="does not exist", advice="run `customer-worker topics create`")
    found = f"{counts[plan.name]} partitions"
    actual = await kafka.topic_configs(admin, plan.name)
    differing = [
        f"{key}={actual[key]} (wanted: {wanted})"
        for key, wanted in plan.configs.items()
        if key != kafka.LARGEST_BATCH and actual.get(key, wanted) != wanted
    ]
    if differing:
        advice = "set it with kafka-configs.sh; otherwise published records may be cut"
        return Check(name, is_well=False, found=f"{found}, {', '.join(differing)}", advice=advice)
    return Check(name, is_well=True, found=found)


async def _room_check(admin: AIOKafkaAdminClient, topic: str, dead_letters: str) -> Check:
    """Whether the largest record that the topic takes fits its dead letter topic, which it else would block."""
    name = f"room in {dead_letters}"
    configs = [await kafka.topic_configs(admin, each) for each in (topic, dead_letters)]
    if not all(configs):
        return Check(name, is_well=True, found="not known: a topic does not exist, or hides its configuration")
    largest, taken = (int(config[kafka.LARGEST_BATCH]) for config in configs)
    found = f"records of up to {taken:,} bytes; {topic} takes {largest:,}"
    advice = (
        f"set max.message.bytes of {dead_letters} to {largest + ROOM_FOR_THE_REASON} or more with kafka-configs.sh: "
        "a rejected record too large for it holds up all that is to be published"
    )
    is_well = largest + ROOM_FOR_THE_REASON <= taken
    return Check(name, is_well, found, "" if is_well else advice)
