"""Preconditions of a worker in Kafka: topics, their configuration, rights, and the consumer group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from worker.bootstrap import backend
from worker.consumer.joining import NO_COORDINATOR, look_at_group
from worker.consumer.single_owner_assignor import assignor_name
from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.errors import in_words
from worker.kafka.rights import Right, granting, look_at_rights
from worker.kafka.topic_configs import MAX_MESSAGE_BYTES
from worker.kafka.topic_setup import Topics, TopicState, read_topics, warn_of_differences
from worker.monitoring.checks import Check
from worker.settings import Settings

COORDINATOR_SECONDS = 3.0
"""Time for a new cluster to create its offsets topic, which the first request causes, and to load it."""
NOT_YET = GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError
SET_UP = "run `customer-worker topics create --execute`"


async def require_topics(settings: Settings) -> None:
    """Raise `Refusal` unless Kafka answers and has the five topics; log differences in their configuration."""
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
    """Check the brokers, each topic and its configuration, the rights and the group."""
    servers = settings.kafka.bootstrap_servers
    try:
        async with kafka.admin_client(settings.kafka) as admin:
            brokers = (await admin.describe_cluster())["brokers"]
            yield Check("brokers", is_well=True, found=f"{len(brokers)} at {servers}")
            for check in _topic_checks(settings, await read_topics(admin, settings)):
                yield check
            for right, granted in (await look_at_rights(admin, settings)).items():
                yield _right_check(settings, right, granted=granted)
            yield await _group_check(admin, settings)
    except Refusal as refusal:
        yield Check("brokers", is_well=False, found=f"not reached at {servers}", advice=str(refusal))


def _topic_checks(settings: Settings, topics: Topics) -> Iterator[Check]:
    existing, missing, hidden = topics
    for plan in missing:
        advice = "run `customer-worker topics create`"
        yield Check(f"topic {plan.name}", is_well=False, found="does not exist", advice=advice)
    for name in hidden:
        yield Check(f"topic {name}", is_well=True, found="not known", advice="grant READ on it first", is_known=False)
    yield from (_topic_check(settings, state) for state in existing)
    yield from (_room_check(state) for state in existing if state.plan.least_batch)


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
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(NOT_YET),
            stop=stop_after_delay(COORDINATOR_SECONDS),
            wait=wait_fixed(0.2),
            reraise=True,
        ):
            with attempt:
                members = await look_at_group(
                    admin, group_id, assignor_name(is_shared=backend(settings.store).is_shared)
                )
    except NOT_YET:
        return Check(name, is_well=False, found="its coordinator is not available", advice=NO_COORDINATOR)
    except GroupAuthorizationFailedError:
        return Check(name, is_well=True, found="not known", advice="grant READ on it first", is_known=False)
    except KafkaError as error:
        return Check(name, is_well=False, found=f"not described: {in_words(error)}", advice="see the brokers' logs")
    except Refusal as refusal:
        return Check(name, is_well=False, found="a worker cannot join it", advice=str(refusal))
    return Check(name, is_well=True, found=f"has a coordinator; members now: {members}")


def _topic_check(settings: Settings, topic: TopicState) -> Check:
    name, found = f"topic {topic.plan.name}", f"{topic.partitions} partitions"
    if topic.configs is None:
        [advice] = granting(settings.kafka, [Right("DESCRIBE_CONFIGS", "topic", topic.plan.name)])
        return Check(name, is_well=True, found=f"{found}, configuration not known", advice=advice, is_known=False)
    differing = [each for each in topic.differences if each.setting != MAX_MESSAGE_BYTES]
    if differing:
        found = ", ".join([found, *map(str, differing)])
        return Check(name, is_well=False, found=found, advice=f"{differing[0].risk}: {SET_UP}")
    return Check(name, is_well=True, found=found)


def _room_check(topic: TopicState) -> Check:
    """Check that the largest batch of the worker fits the topic."""
    plan, name = topic.plan, f"room in {topic.plan.name}"
    if topic.configs is None:
        advice = "see the topic above"
        return Check(name, is_well=True, found="not known", advice=advice, is_known=False)
    found = f"takes {int(topic.configs[MAX_MESSAGE_BYTES]):,} bytes; the worker may send {plan.least_batch:,} at once"
    small = [each for each in topic.differences if each.setting == MAX_MESSAGE_BYTES]
    if not small:
        return Check(name, is_well=True, found=found)
    advice = (
        f"set {MAX_MESSAGE_BYTES} of {plan.name} to {plan.least_batch} or more: {small[0].risk}. To do so, {SET_UP}"
    )
    return Check(name, is_well=False, found=found, advice=advice)
