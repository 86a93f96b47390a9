"""Reconciliation: churned customers, outbox events and topic events are compared by day, in number and in dollars.

While the worker runs, all three change. Events that the store had published at the time of its `PublishedPosition` must
be on the topic. Events published during the comparison may be on the topic or not: neither is a difference.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import msgspec
from aiokafka import TopicPartition

from worker.errors import Exit, Refusal
from worker.reconcile.churned_topic import ChurnedTopic, PrefixChanged, Reading
from worker.reconcile.comparison import difference_of, totals_by_day
from worker.reconcile.report import DayTotals, Difference, Report
from worker.reconcile.source import ReconcileSource
from worker.reconcile.topic_cache import CachedReading
from worker.stores.churns import Churn, ChurnPair, PublishedPosition, StoreDays, Sum, ValueReader
from worker.stores.erasure import Erasures, erasures

MAX_DAYS_PER_QUERY = 50


def require_comparable(position: PublishedPosition, values: ValueReader) -> None:
    """Raise `Refusal` if the store's fingerprints and those of `values` are made by different versions."""
    if position.fingerprinted_by != values.fingerprinted_by:
        raise Refusal(
            f"sums cannot be compared: the worker uses {position.fingerprinted_by}, this command "
            f"{values.fingerprinted_by}. Use the command of the worker's installation",
            Exit.UNREACHABLE,
        )


@dataclass(frozen=True)
class _Comparison:
    """The totals of each day, and their sources. `read_before` counts events from the cache.

    `began` is the time of the comparison in seconds since 1970; `ends` has the end offsets up to which the topic was
    read.
    """

    began: float
    position: PublishedPosition
    days: dict[date, DayTotals]
    topic: Reading
    store: StoreDays
    read_before: int
    ends: Mapping[TopicPartition, int]
    erasures: Erasures = field(default_factory=Erasures)

    @property
    def differing(self) -> list[date]:
        """The days whose totals differ."""
        return [day for day, totals in self.days.items() if not totals.are_equal]


class Reconciliation:
    """Comparison of a topic with a store for the days from `since` to `until`."""

    def __init__(
        self, topic: ChurnedTopic, source: ReconcileSource, values: ValueReader, since: date, until: date
    ) -> None:
        self._topic = topic
        self._source = source
        self._values = values
        self._since = since
        self._until = until

    async def report(self, cached: CachedReading) -> tuple[Report, CachedReading]:
        """Return the report and the reading to cache. A difference is never reported from the cache alone."""
        found = await self._compare_cached(cached) if cached.prefixes else None
        if found is None or found.differing or found.topic.unrecognised or found.topic.tombstones:
            found = await self._compare(CachedReading(cached.fingerprinted_by))
        if found.topic.tombstones:
            found = await self._without_erased(found)
        report = Report(
            days=found.days,
            differences=await self._differences(found) if found.differing else [],
            unrecognised=found.topic.unrecognised,
            receipts=found.store.receipts,
            read_before=found.read_before,
            tombstones=len(found.topic.tombstones),
            ineffective=found.erasures.ineffective,
        )
        return report, CachedReading(cached.fingerprinted_by, found.began, found.topic.prefixes, found.topic.settled)

    async def _compare_cached(self, cached: CachedReading) -> _Comparison | None:
        try:
            return await self._compare(cached)
        except PrefixChanged:
            return None

    async def _compare(self, cached: CachedReading) -> _Comparison:
        began = time.time()
        position = await self._source.published_position()
        require_comparable(position, self._values)
        ends = await self._topic.ends()
        unsettled = sum(max(0, end - position.ends.get(str(partition.partition), 0)) for partition, end in ends.items())
        stored = asyncio.create_task(self._source.days(position.published_seq, self._since, self._until, unsettled))
        try:
            topic = await self._topic.read(cached, ends, position.ends)
        finally:
            store = await stored  # also on an error: a DuckDB file is opened by one query at a time
        days = totals_by_day(store, self._within(topic.days()), topic.recent)
        return _Comparison(began, position, days, topic, store, cached.count, ends)

    def _within(self, days: Mapping[date, Sum]) -> dict[date, Sum]:
        return {day: added for day, added in days.items() if self._since <= day <= self._until}

    async def _without_erased(self, found: _Comparison) -> _Comparison:
        """Read the topic again for customers with a tombstone, and count the events that it erased as such."""
        tombstones = found.topic.tombstones
        events = [each async for each in self._topic.churns(found.ends, tombstones.keys())]
        effect = erasures(self._topic.name, tombstones, events)
        left = defaultdict(Sum, found.topic.days())
        for day, gone in self._values.sums(list(effect.events.values())).items():
            left[day] -= gone
        on_topic = self._within({day: added for day, added in left.items() if added != Sum()})
        days = totals_by_day(found.store, on_topic, found.topic.recent)
        found = replace(found, days=days, erasures=effect)
        pairs = (await self._pairs(found.position, found.differing)).values()
        erased = [
            pair.as_event
            for pair in pairs
            if pair.as_event is not None
            and pair.customer_id in effect.customers
            and (pair.is_published or pair.customer_id in found.topic.recent)
        ]
        for day, added in self._values.sums(erased).items():
            days[day] = msgspec.structs.replace(days[day], erased=added)
        return found

    async def _differences(self, found: _Comparison) -> list[Difference]:
        """Read the topic again for the differing days, and compare customer by customer."""
        ends = await self._topic.ends()
        wanted = set(found.differing)
        pairs = await self._pairs(found.position, found.differing)
        on_topic: dict[str, list[Churn]] = defaultdict(list)
        async for offset, churn in self._topic.churns(ends):
            if (churn.day in wanted or churn.customer_id in pairs) and offset not in found.erasures.events:
                on_topic[churn.customer_id].append(churn)
        erased = found.erasures.customers
        differences = [
            difference_of(each, pairs.get(each), on_topic.get(each, []), is_erased=each in erased)
            for each in sorted({*pairs, *on_topic})
        ]
        return [difference for difference in differences if difference is not None]

    async def _pairs(self, position: PublishedPosition, days: Sequence[date]) -> dict[str, ChurnPair]:
        pairs: dict[str, ChurnPair] = {}
        for begin in range(0, len(days), MAX_DAYS_PER_QUERY):
            found = await self._source.pairs(position.published_seq, days[begin : begin + MAX_DAYS_PER_QUERY])
            pairs.update((pair.customer_id, pair) for pair in found)
        return pairs
