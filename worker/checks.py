"""What has to be true before the worker can run: each thing in one line, with what to do where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient

from worker import kafka
from worker.settings import Settings
from worker.stopping import Exit, Refusal


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
    except Refusal as refusal:
        yield Check("brokers", is_well=False, found=f"not reached at {servers}", advice=str(refusal))


async def _topic_check(admin: AIOKafkaAdminClient, plan: kafka.TopicPlan) -> Check:
    name = f"topic {plan.name}"
    counts = await kafka.partition_counts(admin, [plan.name])
    if plan.name not in counts:
        return Check(name, is_well=False, found="does not exist", advice="run `customer-worker topics create`")
    found = f"{counts[plan.name]} partitions"
    differing = [
        f"{key}={actual[key]} (wanted: {wanted})"
        for key, wanted in plan.configs.items()
        if (actual := await kafka.topic_configs(admin, plan.name)).get(key, wanted) != wanted
    ]
    if differing:
        advice = "set it with kafka-configs.sh; otherwise published records may be cut, or dead letters be too large"
        return Check(name, is_well=False, found=f"{found}, {', '.join(differing)}", advice=advice)
    return Check(name, is_well=True, found=found)
