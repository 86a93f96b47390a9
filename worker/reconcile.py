"""Whether customers, outbox and topic say the same about who left: by day, in number and in dollars.

While the worker runs, all three move. What the store had surely published when its `Mark` was taken has to be on the
topic by then; of what it publishes meanwhile, some is there and some is not, and neither is a difference.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.churns import Churn, ChurnDay, ChurnPair, Mark, StoreDays, Sum, ValueReader
from worker.log_reading import LogReading, committed_reader, partitions_of
from worker.settings import Settings
from worker.stopping import Exit, Refusal

DAYS_AT_ONCE = 50
FETCH_BYTES = 8 * 1024 * 1024  # what comes at once is added up at once, and each time costs


class Books(Protocol):
    """What the store is asked. Outbox rows after `published_seq` count as pending, unless a receipt was found."""

    async def mark(self) -> Mark:
        """How far the store has published."""

    async def days(self, published_seq: int, since: date, until: date, pending_at_most: int) -> StoreDays:
        """Each day from `since` to `until`, and at most so many pending events."""

    async def pairs(self, published_seq: int, days: Sequence[date]) -> list[ChurnPair]:
        """Every customer who left on one of these days by either account."""


class Accounts(msgspec.Struct, frozen=True):
    """What each account says of a day, or of all days. `pending` are those of `events` that are yet to be published."""

    customers: Sum = Sum()
    events: Sum = Sum()
    pending: Sum = Sum()
    topic: Sum = Sum()

    def __add__(self, other: Accounts) -> Accounts:
        return Accounts(
            self.customers + other.customers,
            self.events + other.events,
            self.pending + other.pending,
            self.topic + other.topic,
        )

    @property
    def are_equal(self) -> bool:
        """Whether the three agree, but for what is pending."""
        return self.customers == self.events == self.topic + self.pending


class Difference(msgspec.Struct, frozen=True):
    """A customer about whom the accounts disagree: what each says, and in which way."""

    customer_id: str
    what: str
    customer: Churn | None
    event: Churn | None
    topic: list[Churn]


class Report(msgspec.Struct, frozen=True):
    """All days and every difference. `strangers` are the coordinates of records on the topic that are no events.

    `receipts` is how many events were found on the topic whose rows the store, being rebuilt, has yet to make.
    """

    days: dict[date, Accounts]
    differences: list[Difference]
    strangers: list[str]
    receipts: int

    @property
    def total(self) -> Accounts:
        """All days together."""
        return sum(self.days.values(), Accounts())

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not self.strangers and all(day.are_equal for day in self.days.values())


async def reconcile(
    settings: Settings, books: Books, values: ValueReader, since: date | None, until: date | None
) -> Report:
    """Compare the three accounts of the days from `since` to `until`. Raises `Refusal` where Kafka cannot be read."""
    places = await partitions_of(settings.kafka, [settings.topics.churned])
    if not places:
        raise Refusal(
            f"the topic {settings.topics.churned} does not exist. Create it with `customer-worker topics create`, or "
            "name another in CUSTOMER_WORKER_TOPICS__CHURNED",
            Exit.UNREACHABLE,
        )
    mark = await books.mark()
    require_comparable(mark, values)
    async with committed_reader(settings.kafka, FETCH_BYTES, values_only=True) as reader:
        topic = _Topic(reader, places, values)
        return await _Reconciling(topic, books, mark, since or date.min, until or date.max).report()


def require_comparable(mark: Mark, values: ValueReader) -> None:
    """Raise `Refusal` where the store's fingerprints are not made as those of `values`."""
    if mark.fingerprinted_by != values.fingerprinted_by:
        raise Refusal(
            f"the worker adds up with {mark.fingerprinted_by}, this command with {values.fingerprinted_by}, whose sums "
            "cannot be compared. Use the command of the worker's own installation",
            Exit.UNREACHABLE,
        )


class _Topic:
    """What is on the topic."""

    def __init__(self, reader: AIOKafkaConsumer, places: Sequence[TopicPartition], values: ValueReader) -> None:
        self._reader = reader
        self._places = places
        self._values = values

    async def ends(self) -> dict[TopicPartition, int]:
        """The end of each partition."""
        ends: dict[TopicPartition, int] = await self._reader.end_offsets(self._places)
        return ends

    async def days(
        self, ends: Mapping[TopicPartition, int], marked: Mapping[str, int], since: date, until: date
    ) -> _TopicDays:
        """The days from `since` to `until`, up to these ends; recent is what stands at the `marked` ends or beyond."""
        found = _TopicDays()
        async for place, offsets, values in self._values_up_to(ends):
            recent_from = bisect_left(offsets, marked.get(str(place.partition), 0))
            part = await asyncio.to_thread(self._values.days, values, since, until, recent_from)
            for day, added in part.days.items():
                found.days[day] += added
            found.recent.update(part.recent)
            found.strangers += [f"{place.topic}/{place.partition}/{offsets[index]}" for index in part.strangers]
        return found

    async def churns(self, ends: Mapping[TopicPartition, int]) -> AsyncIterator[Churn]:
        """Everything up to these ends, one by one."""
        async for _, _, values in self._values_up_to(ends):
            for churn in await asyncio.to_thread(self._values.churns, values):
                yield churn

    async def _values_up_to(
        self, ends: Mapping[TopicPartition, int]
    ) -> AsyncIterator[tuple[TopicPartition, list[int], list[bytes | None]]]:
        begins = await self._reader.beginning_offsets(self._places)
        async for some in LogReading(self._reader, begins, ends).values():
            yield some


@dataclass
class _TopicDays:
    """The topic's account of each day, the customers of its last events, and where records stand that are no events."""

    days: dict[date, Sum] = field(default_factory=lambda: defaultdict(Sum))
    recent: set[str] = field(default_factory=set)
    strangers: list[str] = field(default_factory=list)


class _Reconciling:
    def __init__(self, topic: _Topic, books: Books, mark: Mark, since: date, until: date) -> None:
        self._topic = topic
        self._books = books
        self._mark = mark
        self._since = since
        self._until = until

    async def report(self) -> Report:
        ends = await self._topic.ends()
        unsettled = sum(max(0, end - self._mark.ends.get(str(place.partition), 0)) for place, end in ends.items())
        store, topic = await asyncio.gather(
            self._books.days(self._mark.published_seq, self._since, self._until, unsettled),
            self._topic.days(ends, self._mark.ends, self._since, self._until),
        )
        days = _days(store, topic)
        differing = [day for day, accounts in days.items() if not accounts.are_equal]
        differences = await self._differences(differing) if differing else []
        return Report(days, differences, topic.strangers, store.receipts)

    async def _differences(self, days: Sequence[date]) -> list[Difference]:
        """Read the topic once more for what it says of these days, and compare customer by customer."""
        ends = await self._topic.ends()
        pairs: dict[str, ChurnPair] = {}
        for begin in range(0, len(days), DAYS_AT_ONCE):
            found = await self._books.pairs(self._mark.published_seq, days[begin : begin + DAYS_AT_ONCE])
            pairs.update((pair.customer_id, pair) for pair in found)
        wanted = set(days)
        told: dict[str, list[Churn]] = defaultdict(list)
        async for churn in self._topic.churns(ends):
            if churn.day in wanted or churn.customer_id in pairs:
                told[churn.customer_id].append(churn)
        differences = [_difference(who, pairs.get(who), told.get(who, [])) for who in sorted({*pairs, *told})]
        return [difference for difference in differences if difference is not None]


def _days(store: StoreDays, topic: _TopicDays) -> dict[date, Accounts]:
    """Each day by its accounts. What was pending in the store, and is on the topic, is pending no more."""
    arrived: dict[date, Sum] = defaultdict(Sum)
    for churn in store.pending:
        if churn.customer_id in topic.recent:
            arrived[churn.day] += churn.adds
    stored = {day.day: day for day in store.days}
    days = {}
    for day in sorted({*stored, *topic.days}):
        kept = stored.get(day) or ChurnDay(day)
        pending = kept.pending - arrived[day]
        days[day] = Accounts(kept.customers, kept.published + kept.pending, pending, topic.days.get(day) or Sum())
    return days


def _difference(who: str, pair: ChurnPair | None, topic: list[Churn]) -> Difference | None:
    customer = None if pair is None else pair.as_customer
    event = None if pair is None else pair.as_event
    what = [
        *_in_the_store(customer, event),
        *_on_the_topic(event, topic, is_due=pair is not None and pair.is_published),
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
