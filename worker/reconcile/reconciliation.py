"""Whether customers, outbox and topic say the same about who left: by day, in number and in dollars.

While the worker runs, all three move. What the store had surely published when its `PublishedPosition` was taken has to
be on the topic by then; of what it publishes meanwhile, some is there and some is not, and neither is a difference.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

import msgspec
from aiokafka import TopicPartition

from worker.errors import Exit, Refusal
from worker.kafka import clients as kafka
from worker.kafka.log_reader import committed_reader
from worker.kafka.topic_configs import read_configs
from worker.reconcile.churned_topic import ChurnedTopic, NotThereAnyMore, Reading
from worker.reconcile.topic_cache import Remembered, TopicCache
from worker.settings import Settings
from worker.stores.churns import Churn, ChurnDay, ChurnPair, PublishedPosition, StoreDays, Sum, ValueReader
from worker.stores.erasure import Erasures, IneffectiveTombstone, erasures

DAYS_AT_ONCE = 50
FETCH_BYTES = 8 * 1024 * 1024  # what comes at once is added up at once, and each time costs


class ReconcileSource(Protocol):
    """What the store is asked. Outbox rows after `published_seq` count as pending, unless a receipt was found."""

    async def mark(self) -> PublishedPosition:
        """How far the store has published."""

    async def days(self, published_seq: int, since: date, until: date, pending_at_most: int) -> StoreDays:
        """Each day from `since` to `until`, and at most so many pending events."""

    async def pairs(self, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
        """Every customer who left on one of these days by either account."""


class DayTotals(msgspec.Struct, frozen=True):
    """What each account says of a day, or of all days.

    `pending` are those of `events` that are yet to be published, `erased` those that a tombstone on the topic erased.
    """

    customers: Sum = Sum()
    events: Sum = Sum()
    pending: Sum = Sum()
    topic: Sum = Sum()
    erased: Sum = Sum()

    def __add__(self, other: DayTotals) -> DayTotals:
        return DayTotals(
            self.customers + other.customers,
            self.events + other.events,
            self.pending + other.pending,
            self.topic + other.topic,
            self.erased + other.erased,
        )

    @property
    def are_equal(self) -> bool:
        """Whether the three agree, but for what is pending or erased."""
        return self.customers == self.events == self.topic + self.pending + self.erased


class Difference(msgspec.Struct, frozen=True):
    """A customer about whom the accounts disagree: what each says, and in which way."""

    customer_id: str
    what: str
    customer: Churn | None
    event: Churn | None
    topic: list[Churn]


class Report(msgspec.Struct, frozen=True):
    """All days and every difference. `strangers` are the coordinates of records on the topic that are no events.

    `receipts` is how many events were found on the topic whose rows the store, being rebuilt, has yet to make;
    `read_before` how many of those on the topic were not read again. `tombstones` is how many customers have one there,
    `ineffective` those whose event stands there all the same.
    """

    days: dict[date, DayTotals]
    differences: list[Difference]
    strangers: list[str]
    receipts: int
    read_before: int
    tombstones: int = 0
    ineffective: list[IneffectiveTombstone] = []

    @property
    def total(self) -> DayTotals:
        """All days together."""
        return sum(self.days.values(), DayTotals())

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs."""
        found = self.differences or self.strangers or self.ineffective
        return not found and all(day.are_equal for day in self.days.values())


async def reconcile(
    settings: Settings,
    books: ReconcileSource,
    values: ValueReader,
    since: date | None,
    until: date | None,
    *,
    is_full: bool,
) -> Report:
    """Compare the three accounts of the days from `since` to `until`. Raises `Refusal` where Kafka cannot be read.

    What was read on the topic before is not read again while it stands there, unless the reading `is_full`.
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
    # A tombstone takes an event away, and goes itself after this time at the earliest: until half of it is over, what
    # was read is still there, or the tombstone is.
    tombstones_s = int(configs.get("delete.retention.ms", 0)) / 1000
    memory = TopicCache(settings)
    known = memory.recall(values.fingerprinted_by, math.inf if is_full else time.time() - tombstones_s / 2)
    places = [TopicPartition(name, number) for number in range(counts[name])]
    async with committed_reader(settings.kafka, FETCH_BYTES, values_only=True) as reader:
        topic = ChurnedTopic(reader, places, values)
        reconciling = _Reconciling(topic, books, values, since or date.min, until or date.max)
        report, known = await reconciling.report(known)
    if report.is_clean and not report.tombstones:  # what they erase is found by reading all
        memory.keep(known)
    return report


def require_comparable(mark: PublishedPosition, values: ValueReader) -> None:
    """Raise `Refusal` where the store's fingerprints are not made as those of `values`."""
    if mark.fingerprinted_by != values.fingerprinted_by:
        raise Refusal(
            f"the worker adds up with {mark.fingerprinted_by}, this command with {values.fingerprinted_by}, whose sums "
            "cannot be compared. Use the command of the worker's own installation",
            Exit.UNREACHABLE,
        )


@dataclass(frozen=True)
class _Comparison:
    """The accounts of each day, and what they were made of. `read_before` events were known, and not read again.

    `began` is when, in seconds since 1970; `ends` is up to where the topic was read.
    """

    began: float
    mark: PublishedPosition
    days: dict[date, DayTotals]
    topic: Reading
    store: StoreDays
    read_before: int
    ends: Mapping[TopicPartition, int]
    erasures: Erasures = field(default_factory=Erasures)

    @property
    def differing(self) -> list[date]:
        """The days whose accounts are not equal."""
        return [day for day, accounts in self.days.items() if not accounts.are_equal]


class _Reconciling:
    def __init__(
        self, topic: ChurnedTopic, books: ReconcileSource, values: ValueReader, since: date, until: date
    ) -> None:
        self._topic = topic
        self._books = books
        self._values = values
        self._since = since
        self._until = until

    async def report(self, known: Remembered) -> tuple[Report, Remembered]:
        """The report, and what is known of the topic now. What is known is never a reason to say that things differ."""
        found = await self._compare_known(known) if known.stretches else None
        if found is None or found.differing or found.topic.strangers or found.topic.tombstones:
            found = await self._compare(Remembered(known.fingerprinted_by))
        if found.topic.tombstones:
            found = await self._without_erased(found)
        report = Report(
            days=found.days,
            differences=await self._differences(found) if found.differing else [],
            strangers=found.topic.strangers,
            receipts=found.store.receipts,
            read_before=found.read_before,
            tombstones=len(found.topic.tombstones),
            ineffective=found.erasures.ineffective,
        )
        return report, Remembered(known.fingerprinted_by, found.began, found.topic.stretches, found.topic.settled)

    async def _compare_known(self, known: Remembered) -> _Comparison | None:
        try:
            return await self._compare(known)
        except NotThereAnyMore:
            return None

    async def _compare(self, known: Remembered) -> _Comparison:
        began = time.time()
        mark = await self._books.mark()
        require_comparable(mark, self._values)
        ends = await self._topic.ends()
        unsettled = sum(max(0, end - mark.ends.get(str(place.partition), 0)) for place, end in ends.items())
        asked = asyncio.create_task(self._books.days(mark.published_seq, self._since, self._until, unsettled))
        try:
            topic = await self._topic.read(known, ends, mark.ends)
        finally:
            store = await asked  # who reads the store itself opens it once at a time
        days = _days(store, self._within(topic.days()), topic.recent)
        return _Comparison(began, mark, days, topic, store, known.count, ends)

    def _within(self, days: Mapping[date, Sum]) -> dict[date, Sum]:
        return {day: added for day, added in days.items() if self._since <= day <= self._until}

    async def _without_erased(self, found: _Comparison) -> _Comparison:
        """Read the topic once more for events with a tombstone: those that it erased are on the topic no longer."""
        tombstones = found.topic.tombstones
        events = [each async for each in self._topic.churns(found.ends, tombstones.keys())]
        effect = erasures(self._topic.name, tombstones, events)
        left = defaultdict(Sum, found.topic.days())
        for day, gone in self._values.sums(list(effect.events.values())).items():
            left[day] -= gone
        told = self._within({day: added for day, added in left.items() if added != Sum()})
        days = _days(found.store, told, found.topic.recent)
        found = replace(found, days=days, erasures=effect)
        pairs = (await self._pairs(found.mark, found.differing)).values()
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
        """Read the topic once more for what it says of the differing days, and compare customer by customer."""
        ends = await self._topic.ends()
        wanted = set(found.differing)
        pairs = await self._pairs(found.mark, found.differing)
        told: dict[str, list[Churn]] = defaultdict(list)
        async for place, churn in self._topic.churns(ends):
            if (churn.day in wanted or churn.customer_id in pairs) and place not in found.erasures.events:
                told[churn.customer_id].append(churn)
        erased = found.erasures.customers
        differences = [
            _difference(who, pairs.get(who), told.get(who, []), is_erased=who in erased)
            for who in sorted({*pairs, *told})
        ]
        return [difference for difference in differences if difference is not None]

    async def _pairs(self, mark: PublishedPosition, days: Sequence[date]) -> dict[str, ChurnPair]:
        pairs: dict[str, ChurnPair] = {}
        for begin in range(0, len(days), DAYS_AT_ONCE):
            found = await self._books.pairs(mark.published_seq, days[begin : begin + DAYS_AT_ONCE])
            pairs.update((pair.customer_id, pair) for pair in found)
        return pairs


def _days(store: StoreDays, topic: Mapping[date, Sum], recent: AbstractSet[str]) -> dict[date, DayTotals]:
    """Each day by its accounts. What was pending in the store, and is on the topic, is pending no more."""
    arrived: dict[date, Sum] = defaultdict(Sum)
    for churn in store.pending:
        if churn.customer_id in recent:
            arrived[churn.day] += churn.adds
    stored = {day.day: day for day in store.days}
    days = {}
    for day in sorted({*stored, *topic}):
        kept = stored.get(day) or ChurnDay(day)
        pending = kept.pending - arrived[day]
        days[day] = DayTotals(kept.customers, kept.published + kept.pending, pending, topic.get(day) or Sum())
    return days


def _difference(who: str, pair: ChurnPair | None, topic: list[Churn], *, is_erased: bool) -> Difference | None:
    customer = None if pair is None else pair.as_customer
    event = None if pair is None else pair.as_event
    what = [
        *_in_the_store(customer, event),
        *_on_the_topic(event, topic, is_due=pair is not None and pair.is_published and not is_erased),
    ]
    return Difference(who, "; ".join(what), customer, event, topic) if what else None


def _in_the_store(customer: Churn | None, event: Churn | None) -> Iterable[str]:
    if customer is not None and event is None:
        yield "churned, and there is no event in the outbox"
    if customer is None and event is not None:
        yield "an event in the outbox, and no such customer has churned"
    if customer is not None and event is not None and customer != event:
        yield "the event in the outbox says otherwise than the customer"


def _on_the_topic(event: Churn | None, topic: Sequence[Churn], *, is_due: bool) -> Iterable[str]:
    if event is not None and not topic and is_due:
        yield "the event was published, and is not on the topic"
    if event is None and topic:
        yield "an event on the topic that is not in the outbox"
    if len(topic) > 1:
        yield f"{len(topic)} events on the topic"
    if event is not None and any(churn != event for churn in topic):
        yield "the event on the topic says otherwise than that in the outbox"
