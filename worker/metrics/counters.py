"""Counters of the worker, without customer ids and content of records.

They are updated per batch or per transaction. What is read on request instead is in `monitoring.gauges`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from worker import __version__
from worker.messages.outgoing import Outgoing
from worker.messages.rejection import Reason, Rejected
from worker.metrics.event_ages import EventAges
from worker.metrics.kafka_requests import KafkaRequests, Operation
from worker.processing.batch import BatchResult
from worker.processing.outcomes import Applied, Duplicate, Parked
from worker.settings import Topics

OUTCOMES = (Applied.name, Duplicate.name, Parked.name, Rejected.name)
STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCH_RECORDS = (1, 10, 100, 1_000, 5_000, 10_000, 25_000, 50_000)


class Stage(StrEnum):
    """Stage of a batch whose duration is measured; `publish` is a transaction of the relay.

    `decode` covers the records unpacked and decoded since the previous batch, mostly while that was applied.
    """

    DECODE = "decode"
    APPLY = "apply"
    COMMIT = "commit"
    UPKEEP = "upkeep"
    PUBLISH = "publish"


class Cause(StrEnum):
    """Cause of a recovery of the relay."""

    START = "start"
    FENCED = "fenced"
    EXPIRED = "expired"
    AUTHORIZATION = "authorization"
    CONFIGURATION = "configuration"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    KAFKA = "kafka"
    RECEIPT = "receipt"
    STORE = "store"


class Metrics(Collector):
    """Counters of one worker since its start, and the registry that exposes them. Not thread-safe.

    `decided` is by topic and outcome, `lost_arr` in dollars. Every series exists from the start, with the value 0,
    except for the times of what has not happened yet.
    """

    def __init__(self, topics: Topics, group_id: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a start time per series, which is not used
        self.registry = CollectorRegistry()
        self._started = time.time()
        self._group_id = group_id
        self._last_batch: float | None = None
        self.kafka = KafkaRequests()
        self.decided = Counter({(topic, outcome): 0 for topic in topics.inputs for outcome in OUTCOMES})
        self.rejected: Counter[str] = Counter(dict.fromkeys(map(str, Reason), 0))
        self.recovered: Counter[str] = Counter(dict.fromkeys(map(str, Cause), 0))
        self.is_publishing_failing = False
        self.batch_failures = 0
        self.lost_commits = 0
        self.unknown_industries = 0
        self.lost_arr = Decimal(0)
        self._event_ages = EventAges(topics.churned)
        self._batch_records = Histogram(
            "customer_worker_batch_records",
            "Records per commit.",
            registry=self.registry,
            buckets=BATCH_RECORDS,
        )
        seconds = Histogram(
            "customer_worker_batch_seconds",
            "Duration of a batch by stage; publish: of one transaction of the relay.",
            ["stage"],
            registry=self.registry,
            buckets=STAGE_SECONDS,
        )
        self._seconds = {stage: seconds.labels(stage.value) for stage in Stage}
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def applied(self, records: int, result: BatchResult, seconds: Mapping[Stage, float]) -> None:
        """Count a committed batch and the duration of each stage."""
        self._last_batch = time.time()
        self._batch_records.observe(records)
        for stage, took in seconds.items():
            self._seconds[stage].observe(took)
        self.decided.update(result.decided)
        self.rejected.update(rejected.reason for _, rejected in result.rejected)
        self.unknown_industries += result.unknown_industries
        self.lost_arr += result.lost_arr

    def published(self, messages: Sequence[Outgoing], seconds: float) -> None:
        """Count a transaction that has just become visible, and its duration."""
        self.kafka.succeeded(Operation.PUBLISH)
        self._seconds[Stage.PUBLISH].observe(seconds)
        self._event_ages.add(messages, time.time())

    def recovering(self, cause: Cause) -> None:
        """Count a recovery."""
        self.recovered[cause] += 1

    def batch_failed(self) -> None:
        """Count a failed attempt to apply a batch."""
        self.batch_failures += 1

    def store_lost_commits(self) -> None:
        """Count that the store was found without commits of this worker."""
        self.lost_commits += 1

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, for the registry."""
        yield from self._times()
        yield from self.kafka.families()
        yield _counter(
            "events",
            "Decisions by outcome; a parked record gets a second one.",
            ["topic", "outcome"],
            self.decided.items(),
        )
        yield _counter("rejected", "Records rejected.", ["reason"], _one_label(self.rejected))
        yield _counter(
            "recover",
            "Recoveries of the relay: the receipts on the output topics were read.",
            ["cause"],
            _one_label(self.recovered),
        )
        yield from self._failures()
        yield CounterMetricFamily(
            "customer_worker_unknown_industries",
            "Signups with an unknown industry, which counts as Other.",
            self.unknown_industries,
        )
        yield CounterMetricFamily(
            "customer_worker_lost_arr_dollars",
            "Annual recurring revenue of the customers who churned, in US dollars.",
            float(self.lost_arr),
        )
        yield self._event_ages.family(
            "customer_worker_event_age_seconds",
            "Time from the timestamp of the source record until its event is visible.",
        )

    def _failures(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "customer_worker_publishing_failing",
            "1 from a failed attempt to publish until the next success, else 0.",
            float(self.is_publishing_failing),
        )
        yield CounterMetricFamily(
            "customer_worker_batch_failures", "Attempts to apply a batch that failed.", self.batch_failures
        )
        yield CounterMetricFamily(
            "customer_worker_store_lost_commits",
            "Times the store was found without commits of this worker; their records were read again.",
            self.lost_commits,
        )

    def _times(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "customer_worker_info",
            "Version and consumer group of this worker; the value is always 1.",
            labels=["version", "group"],
        )
        info.add_metric([__version__, self._group_id], 1)
        yield info
        yield GaugeMetricFamily(
            "customer_worker_start_time_seconds", "Start time of this worker, in seconds since 1970.", self._started
        )
        last_batch = GaugeMetricFamily(
            "customer_worker_last_batch_timestamp_seconds",
            "Time of the last committed batch since the start, in seconds since 1970; no series before the first.",
        )
        if self._last_batch is not None:
            last_batch.add_metric([], self._last_batch)
        yield last_batch


def _counter(
    name: str, documentation: str, labels: Sequence[str], counts: Iterable[tuple[Sequence[str], float]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"customer_worker_{name}", documentation, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _one_label(counts: Mapping[str, int]) -> Iterator[tuple[Sequence[str], int]]:
    return (([value], count) for value, count in counts.items())
