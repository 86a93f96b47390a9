"""The five topics as they are, compared with what they need: created where missing, altered where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from worker import kafka
from worker.kafka_errors import in_words
from worker.settings import Settings
from worker.stopping import Exit, Refusal
from worker.topic_configs import Configs, alter_configs, read_configs
from worker.topic_plans import Difference, TopicPlan, topic_plans

log = structlog.get_logger(__name__)


class TopicState(NamedTuple):
    """An existing topic: what it needs, and its configuration; None where this client may not describe that."""

    plan: TopicPlan
    partitions: int
    configs: Configs | None

    @property
    def differences(self) -> list[Difference]:
        """What to alter, as far as the configuration is visible."""
        return [] if self.configs is None else self.plan.differences(self.configs)


async def read_topics(admin: AIOKafkaAdminClient, settings: Settings) -> tuple[list[TopicState], list[TopicPlan]]:
    """Read the five topics: those that exist, and the plans of those that do not. Raises `KafkaError`."""
    names = settings.topics.inputs + settings.topics.outputs
    counts = await kafka.partition_counts(admin, names)
    configs = await read_configs(admin, counts)
    plans = topic_plans(settings, configs)
    existing = [TopicState(plan, counts[plan.name], configs.get(plan.name)) for plan in plans if plan.name in counts]
    return existing, [plan for plan in plans if plan.name not in counts]


async def warn_of_differences(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Log each difference that can lose records or block publishing. A failure to read them is logged, too."""
    try:
        existing, _ = await read_topics(admin, settings)
    except KafkaError as error:
        log.warning("topic configuration not read", error=in_words(error))
        return
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
    """Create the missing topics; compare the others with what they need and, if executed, alter them.

    Raises `Refusal`.
    """
    async with kafka.admin_client(settings.kafka) as admin:
        existing, missing = await read_topics(admin, settings)
        created = {topic.plan.name: False for topic in existing}
        for plan in missing:
            created[plan.name] = await _create(admin, plan, partitions, replication)
        differences = [each for topic in existing for each in topic.differences]
        if is_executed:
            for topic in existing:
                await _alter(admin, topic)
        hidden = [topic.plan.name for topic in existing if topic.configs is None]
    in_order = {name: created[name] for name in settings.topics.inputs + settings.topics.outputs}
    return SetUp(in_order, differences, hidden)


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
            f"the configuration of topic {topic.plan.name} could not be altered: {in_words(error)}. Grant ALTER_CONFIGS on it, "
            "or set it with kafka-configs.sh",
            Exit.NO,
        ) from error
