"""Whether customers, outbox and topic say the same about who left: by day, in number and in dollars.

While the worker runs, all three move. What the store had surely published when its `Mark` was taken has to be on the
topic by then; of what it publishes meanwhile, some is there and some is not, and neither is a difference.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.churns import Churn, ChurnDay, ChurnPair, Mark, StoreDays, Sum, added_up, fingerprint, sum_of
from worker.log_reading import LogReading, committed_reader, partitions_of
from worker.messages import Money
from worker.records import Record, coordinates
from worker.settings import Settings
from worker.stopping import Exit, Refusal

DAYS_AT_ONCE = 50


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


async def reconcile(settings: Settings, books: Books, since: date | None, until: date | None) -> Report:
    """Compare the three accounts of the days from `since` to `until`. Raises `Refusal` where Kafka cannot be read."""
    places = await partitions_of(settings.kafka, [settings.topics.churned])
    if not places:
        raise Refusal(
            f"the topic {settings.topics.churned} does not exist. Create it with `customer-worker topics create`, or "
            "name another in CUSTOMER_WORKER_TOPICS__CHURNED",
            Exit.UNREACHABLE,
        )
    async with committed_reader(settings.kafka) as reader:
        reconciling = _Reconciling(reader, places, books, since or date.min, until or date.max)
        return await reconciling.report()


class _Reconciling:
    def __init__(
        self, reader: AIOKafkaConsumer, places: Sequence[TopicPartition], books: Books, since: date, until: date
    ) -> None:
        self._reader = reader
        self._places = places
        self._books = books
        self._since = since
        self._until = until

    async def report(self) -> Report:
        self._mark = await self._books.mark()
        ends = await self._reader.end_offsets(self._places)
        topic = _Topic(self._since, self._until, self._mark.ends)
        unsettled = sum(max(0, end - self._mark.ends.get(str(place.partition), 0)) for place, end in ends.items())
        store, _ = await asyncio.gather(
            self._books.days(self._mark.published_seq, self._since, self._until, unsettled),
            self._read(ends, topic.take),
        )
        days = _days(store, topic)
        differing = [day for day, accounts in days.items() if not accounts.are_equal]
        differences = await self._differences(differing) if differing else []
        return Report(days, differences, topic.strangers, store.receipts)

    async def _read(self, ends: Mapping[TopicPartition, int], take: Callable[[Sequence[Record]], None]) -> None:
        begins = await self._reader.beginning_offsets(self._places)
        async for part in LogReading(self._reader, begins, ends).parts():
            for records in part.values():
                take(records)

    async def _differences(self, days: Sequence[date]) -> list[Difference]:
        """Read the topic once more for what it says of these days, and compare customer by customer."""
        ends = await self._reader.end_offsets(self._places)
        pairs: dict[str, ChurnPair] = {}
        for begin in range(0, len(days), DAYS_AT_ONCE):
            found = await self._books.pairs(self._mark.published_seq, days[begin : begin + DAYS_AT_ONCE])
            pairs.update((pair.customer_id, pair) for pair in found)
        wanted = set(days)
        told: dict[str, list[Churn]] = defaultdict(list)

        def take(records: Sequence[Record]) -> None:
            for churn in filter(None, map(_churn, records)):
                if churn.day in wanted or churn.customer_id in pairs:
                    told[churn.customer_id].append(churn)

        await self._read(ends, take)
        differences = [_difference(who, pairs.get(who), told.get(who, [])) for who in sorted({*pairs, *told})]
        return [difference for difference in differences if difference is not None]


class _Event(msgspec.Struct, gc=False):
    """What counts here of a `customer.churned`. Days and amounts are checked apart, each day once: events are many."""

    customer_id: str
    churn_date: str
    lost_arr: Money


_decode = msgspec.json.Decoder(_Event).decode


def _churn(record: Record) -> Churn | None:
    """The churn that a record on the topic tells of; None where it is no event."""
    try:
        event = _decode(record.value or b"")
        return Churn(event.customer_id, _day(event.churn_date), _dollars(event.lost_arr.amount))
    except (msgspec.DecodeError, ValueError):
        return None


def _day(text: str) -> date:
    day = date.fromisoformat(text)
    if str(day) != text:
        raise ValueError(text)
    return day


def _dollars(text: str) -> Decimal:
    whole, _, cents = text.partition(".")
    if not (text.isascii() and whole.isdigit() and cents.isdigit() and len(cents) == 2):  # noqa: PLR2004
        raise ValueError(text)
    return Decimal(text)


class _Topic:
    """What the topic says, added up by day; kept one by one from where the store's mark ends."""

    def __init__(self, since: date, until: date, marked: Mapping[str, int]) -> None:
        self._since = since.isoformat()
        self._until = until.isoformat()
        self._marked = {int(partition): end for partition, end in marked.items()}
        self._tallies: dict[str, list[Any]] = {}
        self.recent: list[Churn] = []
        self.strangers: list[str] = []

    def take(self, records: Sequence[Record]) -> None:
        """Add up the records of one partition: all work on one record is in this loop, as there are many."""
        marked = self._marked.get(records[0].partition, 0) if records else 0
        for record in records:
            try:
                event = _decode(record.value or b"")
                day, amount = event.churn_date, event.lost_arr.amount
                lost_arr = _dollars(amount)
                tally = self._tallies.get(day) or self._new_tally(day)
            except (msgspec.DecodeError, ValueError):
                self.strangers.append(coordinates(record))
                continue
            if self._since <= day <= self._until:
                tally[0] += 1
                tally[1] += lost_arr
                tally[2] += fingerprint(event.customer_id, day, amount)
                if record.offset >= marked:
                    self.recent.append(Churn(event.customer_id, date.fromisoformat(day), lost_arr))

    def _new_tally(self, day: str) -> list[Any]:
        _day(day)  # raises ValueError where it is none
        return self._tallies.setdefault(day, [0, Decimal(0), 0])

    def days(self) -> dict[date, Sum]:
        """The sum of each day."""
        return {date.fromisoformat(day): added_up(*tally) for day, tally in self._tallies.items() if tally[0]}


def _days(store: StoreDays, topic: _Topic) -> dict[date, Accounts]:
    """Each day by its accounts. What was pending in the store, and is on the topic, is pending no more."""
    arrived: dict[date, Sum] = defaultdict(Sum)
    recent = {churn.customer_id for churn in topic.recent}
    for churn in store.pending:
        if churn.customer_id in recent:
            arrived[churn.day] += sum_of(churn)
    stored = {day.day: day for day in store.days}
    told = topic.days()
    days = {}
    for day in sorted({*stored, *told}):
        kept = stored.get(day) or ChurnDay(day)
        pending = kept.pending - arrived[day]
        days[day] = Accounts(kept.customers, kept.published + kept.pending, pending, told.get(day) or Sum())
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
