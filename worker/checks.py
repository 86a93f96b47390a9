"""What has to be true before the worker can run: each thing in one line, with what to do where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    TopicAuthorizationFailedError,
)
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from worker import kafka
from worker.joining import NO_COORDINATOR, look_at_group
from worker.one_worker import assignor_name
from worker.rights import Right, granting, look_at_rights
from worker.settings import Settings
from worker.stopping import Exit, Refusal
from worker.topic_metadata import describe_topics

COORDINATOR_SECONDS = 3.0
ROOM_FOR_THE_REASON = 64 * 1024
"""By so many bytes a dead letter may be larger than its record."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `advice` says what to do where it is not well.

    Where `is_known` is false, it could not be looked at: it counts as well, with a warning.
    """

    name: str
    is_well: bool
    found: str
    advice: str = ""
    is_known: bool = True


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
                yield await _topic_check(admin, settings, plan)
            for topic in settings.topics.inputs:
                yield await _room_check(admin, topic, topic + settings.topics.dead_letter_suffix)
            for right, granted in (await look_at_rights(admin, settings)).items():
                yield _right_check(settings, right, granted=granted)
            yield await _group_check(admin, settings)
    except Refusal as refusal:
        yield Check("brokers", is_well=False, found=f"not reached at {servers}", advice=str(refusal))


def _right_check(settings: Settings, right: Right, *, granted: bool | None) -> Check:
    name = f"right {right}"
    if granted is None:
        return Check(name, is_well=True, found="not known", advice="see the topic above", is_known=False)
    advice = "" if granted else " ".join(granting(settings.kafka, [right]))
    return Check(name, granted, "granted" if granted else "missing", advice)


async def _group_check(admin: AIOKafkaAdminClient, settings: Settings) -> Check:
    """Check that the group has a coordinator, and no members that a worker cannot join."""
    group_id = settings.kafka.group_id
    name = f"group {group_id}"
    try:
        async for attempt in AsyncRetrying(  # a young cluster makes the topic of the groups at the first request
            retry=retry_if_exception_type(GroupCoordinatorNotAvailableError),
            stop=stop_after_delay(COORDINATOR_SECONDS),
            wait=wait_fixed(0.2),
            reraise=True,
        ):
            with attempt:
                members = await look_at_group(admin, group_id, assignor_name(settings))
    except GroupCoordinatorNotAvailableError:
        return Check(name, is_well=False, found="its coordinator is not available", advice=NO_COORDINATOR)
    except GroupAuthorizationFailedError:
        return Check(name, is_well=True, found="not known", advice="grant READ on it first", is_known=False)
    except Refusal as refusal:
        return Check(name, is_well=False, found="a worker cannot join it", advice=str(refusal))
    return Check(name, is_well=True, found=f"has a coordinator; members now: {members}")


async def _topic_check(admin: AIOKafkaAdminClient, settings: Settings, plan: kafka.TopicPlan) -> Check:
    name = f"topic {plan.name}"
    topic = (await describe_topics(admin, [plan.name])).get(plan.name)
    if topic is not None and topic.error is TopicAuthorizationFailedError:
        found, advice = "not known: no right to see it", "grant READ on it first"
        return Check(name, is_well=True, found=found, advice=advice, is_known=False)
    if topic is None or not topic.partitions:
        return Check(name, is_well=False, found="does not exist", advice="run `customer-worker topics create`")
    found = f"{len(topic.partitions)} partitions"
    actual = await kafka.topic_configs(admin, plan.name)
    if not actual:
        [advice] = granting(settings.kafka, [Right("DESCRIBE_CONFIGS", "topic", plan.name)])
        return Check(name, is_well=True, found=f"{found}, configuration not known", advice=advice, is_known=False)
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
        found = "not known: a topic does not exist, or its configuration is hidden"
        return Check(name, is_well=True, found=found, is_known=False)
    largest, taken = (int(config[kafka.LARGEST_BATCH]) for config in configs)
    found = f"records of up to {taken:,} bytes; {topic} takes {largest:,}"
    advice = (
        f"set max.message.bytes of {dead_letters} to {largest + ROOM_FOR_THE_REASON} or more with kafka-configs.sh: "
        "a rejected record too large for it holds up all that is to be published"
    )
    is_well = largest + ROOM_FOR_THE_REASON <= taken
    return Check(name, is_well, found, "" if is_well else advice)
