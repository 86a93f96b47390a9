"""`/metrics`: counters and gauges in the exposition format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from worker.metrics.counters import Metrics
from worker.monitoring.gauges import Reading, StoreReading


def exposition(metrics: Metrics, reading: Reading, accept: str) -> tuple[bytes, str]:
    """Encode all metrics in the format that the HTTP header `accept` selects. Returns them and their content type."""
    encode, content_type = choose_encoder(accept)
    return encode(_AllMetrics(metrics, reading)), content_type


class _AllMetrics(Collector):
    """The registry of the counters, and one reading of the gauges."""

    def __init__(self, metrics: Metrics, reading: Reading) -> None:
        self._metrics = metrics
        self._reading = reading

    @override
    def collect(self) -> Iterable[Metric]:
        return chain(self._metrics.registry.collect(), _gauges(self._reading))


def _gauges(reading: Reading) -> Iterator[Metric]:
    checks = GaugeMetricFamily("customer_worker_check_ok", "Checks of /readyz: 1 passed, 0 failed.", None, ["check"])
    for check in reading.checks:
        checks.add_metric([check.name], check.is_well)
    yield checks
    lag = GaugeMetricFamily("customer_worker_lag_records", "Unread offsets.", None, ["topic", "partition"])
    for (topic, partition), count in sorted(reading.lag.items()):
        lag.add_metric([topic, str(partition)], count)
    yield lag
    behind = GaugeMetricFamily(
        "customer_worker_lag_seconds",
        "Age of the oldest unread offset since it was first seen, or since its partition was last readable.",
        None,
        ["topic", "partition"],
    )
    for (topic, partition), seconds in sorted(reading.behind_seconds.items()):
        behind.add_metric([topic, str(partition)], seconds)
    yield behind
    readable = GaugeMetricFamily(
        "customer_worker_input_readable", "Readability of an input topic: 1 readable, 0 not.", None, ["topic"]
    )
    for topic, is_readable in sorted(reading.readable.items()):
        readable.add_metric([topic], is_readable)
    yield readable
    if reading.store is not None:
        yield from _of_store(reading.store, datetime.now(UTC))


def _of_store(store: StoreReading, now: datetime) -> Iterator[Metric]:
    waiting, at_stake = store.waiting, store.at_stake
    yield GaugeMetricFamily(
        "customer_worker_parked", "Parked cancellations, which wait for their signup.", waiting.parked
    )
    yield GaugeMetricFamily(
        "customer_worker_parked_oldest_age_seconds",
        "Age of the oldest parked cancellation; 0 if there is none.",
        age_seconds(waiting.parked_since, now),
    )
    yield GaugeMetricFamily(
        "customer_worker_outbox_pending", "Events and dead letters that are not known as published.", waiting.pending
    )
    yield GaugeMetricFamily(
        "customer_worker_outbox_oldest_age_seconds",
        "Age of the oldest unpublished record since its decision; 0 if there is none.",
        age_seconds(waiting.pending_since, now),
    )
    yield GaugeMetricFamily("customer_worker_dead_letters", "Unsettled dead letters.", at_stake.letters)
    yield GaugeMetricFamily(
        "customer_worker_dead_letter_arr_dollars",
        "ARR at stake in unsettled dead letters, in US dollars: the total of `customer-worker dead-letters list`.",
        float(at_stake.arr),
    )
    yield GaugeMetricFamily(
        "customer_worker_dead_letter_oldest_age_seconds",
        "Age of the oldest unsettled dead letter; 0 if there is none.",
        age_seconds(at_stake.since, now),
    )
    if store.size_bytes is not None:
        yield GaugeMetricFamily("customer_worker_store_bytes", "Size of the store's files.", store.size_bytes)


def age_seconds(since: datetime | None, now: datetime) -> float:
    """Return the age in seconds; 0 if there is none, or if the clock was set back."""
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
