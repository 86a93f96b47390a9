"""The `reconcile` operation: reads the topic and the store, and caches the totals of the topic."""

from __future__ import annotations

import math
import time
from datetime import date

from aiokafka import TopicPartition

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.log_reader import committed_reader
from worker.kafka.topic_configs import read_configs
from worker.reconcile.churned_topic import ChurnedTopic
from worker.reconcile.reconciliation import Reconciliation
from worker.reconcile.report import Report
from worker.reconcile.source import ReconcileSource
from worker.reconcile.topic_cache import TopicCache
from worker.settings import Settings
from worker.stores.churns import ValueReader

FETCH_BYTES = 8 * 1024 * 1024  # each fetch is added up at once, at a fixed cost


async def reconcile(
    settings: Settings,
    source: ReconcileSource,
    values: ValueReader,
    since: date | None,
    until: date | None,
    *,
    is_full: bool,
) -> Report:
    """Compare the days from `since` to `until`. Raises `Refusal` if Kafka or the store cannot be read.

    Records that an earlier command has read are not read again while they are on the topic, unless `is_full`.
    """
    name = settings.topics.churned
    async with kafka.admin_client(settings.kafka) as admin:
        counts = await kafka.partition_counts(admin, [name])
        configs = (await read_configs(admin, counts)).get(name, {})
    if not counts:
        raise Refusal(
            f"the topic {name} does not exist. Create it with `customer-worker topics create`, or "
            "name another in CUSTOMER_WORKER_TOPICS__CHURNED",
            Exit.UNREACHABLE,
        )
    # Compaction removes a tombstone after this time at the earliest. Until half of it is over, each event that was read
    # is still on the topic, or its tombstone is.
    tombstones_s = int(configs.get("delete.retention.ms", 0)) / 1000
    cache = TopicCache(settings)
    cached = cache.load(values.fingerprinted_by, math.inf if is_full else time.time() - tombstones_s / 2)
    partitions = [TopicPartition(name, number) for number in range(counts[name])]
    async with committed_reader(settings.kafka, FETCH_BYTES, values_only=True) as reader:
        topic = ChurnedTopic(reader, partitions, values)
        reconciliation = Reconciliation(topic, source, values, since or date.min, until or date.max)
        report, cached = await reconciliation.report(cached)
    if report.is_clean and not report.tombstones:  # erased events are found by reading the whole topic
        cache.save(cached)
    return report
