"""Set-up of the five topics: created if missing, compared with their requirements, altered if they differ."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.errors import in_words
from worker.kafka.topic_configs import Configs, alter_configs, read_configs
from worker.kafka.topic_metadata import describe_topics
from worker.kafka.topic_plans import Difference, TopicPlan, topic_plans
from worker.settings import Settings

log = structlog.get_logger(__name__)

DESCRIBED_SECONDS = 5.0


class TopicState(NamedTuple):
    """An existing topic: its requirements, and its configuration; None if this client may not describe it."""

    plan: TopicPlan
    partitions: int
    configs: Configs | None

    @property
    def differences(self) -> list[Difference]:
        """Entries to alter, as far as the configuration is visible."""
        return [] if self.configs is None else self.plan.differences(self.configs)


class Topics(NamedTuple):
    """The five topics: those that exist, the plans of missing ones, names of those this client may not describe."""

    existing: list[TopicState]
    missing: list[TopicPlan]
    hidden: list[str]


async def read_topics(admin: AIOKafkaAdminClient, settings: Settings) -> Topics:
    """Read the five topics and their configuration. Raises `KafkaError`."""
    described = await describe_topics(admin, settings.topics.inputs + settings.topics.outputs)
    counts = {name: len(topic.partitions) for name, topic in described.items() if topic.partitions}
    hidden = [name for name, topic in described.items() if topic.error is TopicAuthorizationFailedError]
    configs = await read_configs(admin, counts)
    plans = topic_plans(settings, configs)
    existing = [TopicState(plan, counts[plan.name], configs.get(plan.name)) for plan in plans if plan.name in counts]
    return Topics(existing, [plan for plan in plans if plan.name not in {*counts, *hidden}], hidden)


async def warn_of_differences(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Log each difference that can lose records or block publishing. A failure to read them is logged, too."""
    try:
        existing = (await read_topics(admin, settings)).existing
    except KafkaError as error:
        log.warning("topic configuration not read", error=in_words(error))
        return
    if hidden := [topic.plan.name for topic in existing if topic.configs is None]:
        log.info("topic configuration not visible", topics=hidden, advice="grant DESCRIBE_CONFIGS on them")
    for difference in (each for topic in existing for each in topic.differences):
        log.warning(
            "topic configuration differs",
            topic=difference.topic,
            setting=difference.setting,
            actual=difference.actual,
            needed=difference.needed,
            risk=difference.risk,
            advice="customer-worker topics create --execute",
        )


class SetUp(NamedTuple):
    """The outcome of `set_up_topics`: topics by name and whether each was created, and differences of the others."""

    created: dict[str, bool]
    differences: Sequence[Difference]
    hidden: Sequence[str]


async def set_up_topics(settings: Settings, partitions: int, replication: int, *, is_executed: bool) -> SetUp:
    """Create the missing topics; compare the others with their requirements and, if executed, alter them.

    Raises `Refusal`.
    """
    async with kafka.admin_client(settings.kafka) as admin:
        created = {}
        for names in (settings.topics.inputs, settings.topics.outputs):  # letters need the limits of inputs
            existing, missing, hidden = await read_topics(admin, settings)
            if hidden:
                raise TopicAuthorizationFailedError(hidden)
            for plan in (plan for plan in missing if plan.name in names):
                created[plan.name] = await _create(admin, plan, partitions, replication)
            await _wait_until_described(admin, created.keys() & set(settings.topics.inputs))
        differences = [each for topic in existing for each in topic.differences]
        if is_executed:
            for topic in existing:
                await _alter(admin, topic)
        no_configs = [topic.plan.name for topic in existing if topic.configs is None]
    in_order = {name: created.get(name, False) for name in settings.topics.inputs + settings.topics.outputs}
    return SetUp(in_order, differences, no_configs)


async def _wait_until_described(admin: AIOKafkaAdminClient, topics: Collection[str]) -> None:
    """Wait until the brokers describe new topics. For a topic not described in time, defaults are assumed."""

    async def wait() -> None:
        while len(await kafka.partition_counts(admin, topics)) < len(topics):  # noqa: ASYNC110 - it is remote
            await asyncio.sleep(0.05)

    with suppress(TimeoutError):
        await asyncio.wait_for(wait(), DESCRIBED_SECONDS)


async def _create(admin: AIOKafkaAdminClient, plan: TopicPlan, partitions: int, replication: int) -> bool:
    topic = NewTopic(plan.name, partitions, replication, topic_configs=plan.new_configs)
    try:
        response: Any = await admin.create_topics([topic])
    except TopicAlreadyExistsError:
        return False
    except KafkaError as error:
        raise Refusal(f"topic {plan.name} could not be created: {in_words(error)}", Exit.UNREACHABLE) from error
    for _, code, *message in response.topic_errors:
        if for_code(code) is TopicAlreadyExistsError:
            return False
        if code:
            detail = (message[0] if message else None) or for_code(code).__name__
            raise Refusal(f"topic {plan.name} could not be created: {detail}", Exit.NO)
    return True


async def _alter(admin: AIOKafkaAdminClient, topic: TopicState) -> None:
    changes = {each.setting: each.value for each in topic.differences}
    if not changes:
        return
    try:
        await alter_configs(admin, topic.plan.name, changes)
    except KafkaError as error:
        raise Refusal(
            f"the configuration of topic {topic.plan.name} could not be altered: {in_words(error)}. Grant "
            "ALTER_CONFIGS on it, or set it with kafka-configs.sh",
            Exit.NO,
        ) from error
