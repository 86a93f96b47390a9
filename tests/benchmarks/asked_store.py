"""A large store with a past: customers, decisions, events yet to be published, dead letters, parked records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from domain.customer import MRR, Customer, Industry, PlanTier
from worker.messages.cloudevents import caused_by
from worker.messages.composer import Composer
from worker.messages.message import Cancellation
from worker.messages.record import PlainRecord
from worker.settings import Settings, Topics
from worker.stores.changes import Changes
from worker.stores.duckdb.store import DuckDBStore

PARTITION = 100  # which no topic has: the past is never read again
PARKED_PARTITION = 101
AT_ONCE = 50_000
_SIGNED_UP, _FIRST_LEFT, _DAYS = date(2026, 1, 15), date(2026, 2, 1), 180
_ID = "('00000000-0000-4000-8000-' || lpad(format('{:x}', number), 12, '0'))::UUID"
_JOURNAL = """
INSERT INTO decisions SELECT TIMESTAMP '2026-01-01' + to_seconds(number), $topic, $partition, $first + number,
    ('00000000-0000-4000-8000-' || lpad(format('{:x}', number % $customers), 12, '0'))::UUID, $outcome, $reason, NULL
FROM range($begin, $end) numbers(number)
"""


@dataclass(frozen=True)
class Sizes:
    """The size of the store. `decisions` are the journal's rows."""

    customers: int
    decisions: int
    events: int
    letters: int
    parked: int


def fill(settings: Settings, sizes: Sizes, tell: Callable[[int], object]) -> None:
    """Make the store; `tell` is told how many of the events are in it. Its worker publishes them when it starts."""
    store = DuckDBStore(settings.store.path)
    for done in _leave(store, settings, sizes.events):
        tell(done)
    _stay(store, sizes)
    _decide(store, settings.topics, sizes)
    _refuse(store, settings.topics, sizes)
    _park(store, settings.topics, sizes.parked)
    store._db.execute("CHECKPOINT")
    store.close()


def _leave(store: DuckDBStore, settings: Settings, events: int) -> Iterator[int]:
    """Store customers who have left, with events as the worker itself composes them."""
    topics = settings.topics
    composer = Composer(
        churned_topic=topics.churned,
        dead_letter_suffix=topics.dead_letter_suffix,
        group_id=settings.kafka.group_id,
    )
    for begin in range(0, events, AT_ONCE):
        changes = Changes()
        for number in range(begin, min(begin + AT_ONCE, events)):
            who = f"00000000-0000-4000-8000-{number:012x}"
            mrr = MRR(Decimal(10 + number % 997))
            customer = Customer(who, Industry.FINTECH, PlanTier.GROWTH, _SIGNED_UP, mrr)
            event = customer.mark_churned(_FIRST_LEFT + timedelta(number % _DAYS), "too_expensive")
            record = PlainRecord(topics.cancellation, PARTITION, number, 1782820800000, who.encode(), b"", [])
            cause = Cancellation(
                record,
                number,
                size=0,
                is_redriven=False,
                customer_id=who,
                cancellation_date=event.churn_date,
                reason=event.reason,
                timestamp=record.timestamp,
                event_headers=caused_by(record, record.topic_partition),
            )
            sent = composer.churned(event, cause)
            changes.new_customers[who] = customer
            changes.outbox.append(sent)
        store.commit(changes)
        yield begin + len(changes.outbox)


def _stay(store: DuckDBStore, sizes: Sizes) -> None:
    store._db.execute(
        "INSERT INTO customers (customer_id, industry, plan_tier, signup_date, mrr)"
        f" SELECT {_ID}, 'FinTech', 'growth', ?, 499 FROM range(?, ?) numbers(number)",
        [_SIGNED_UP, sizes.events, sizes.customers],
    ).fetchall()


def _decide(store: DuckDBStore, topics: Topics, sizes: Sizes) -> None:
    """Every customer's signup, and as many of them again as it takes."""
    signups = sizes.decisions - sizes.events - sizes.letters
    rows = (("applied", 0, sizes.customers), ("duplicate", sizes.customers, signups))
    for outcome, begin, end in rows:
        _journal(store, sizes, topic=topics.signup, first=0, begin=begin, end=end, outcome=outcome, reason=None)


def _journal(store: DuckDBStore, sizes: Sizes, **parameters: str | int | None) -> None:
    asked = {"customers": sizes.customers, "partition": PARTITION, **parameters}
    store._db.execute(_JOURNAL, asked).fetchall()


def _refuse(store: DuckDBStore, topics: Topics, sizes: Sizes) -> None:
    """Store cancellations that came too late, whose dead letters are published."""
    refused = {"outcome": "rejected", "reason": "already_churned", "topic": topics.cancellation}
    _journal(store, sizes, first=sizes.events, begin=0, end=sizes.letters, **refused)
    store._db.execute(
        f"""
        INSERT INTO outbox SELECT $seq + number + 1, $topic || '/{PARTITION}/' || ($events + number) || '@1', $letters,
            {PARTITION}, NULL, '{{}}'::BLOB, '\\x90'::BLOB, {_ID}, true, 1782820800000, NULL, NULL, NULL, NULL
        FROM range($count) numbers(number)
        """,
        {
            "seq": store.last_seq,
            "topic": topics.cancellation,
            "letters": topics.cancellation + topics.dead_letter_suffix,
            "events": sizes.events,
            "count": sizes.letters,
        },
    ).fetchall()


def _park(store: DuckDBStore, topics: Topics, count: int) -> None:
    store._db.execute(
        f"""
        INSERT INTO parked SELECT number, uuid(), ?, {PARKED_PARTITION}, number, 0, NULL, '{{}}'::BLOB,
            '\\x90'::BLOB, TIMESTAMP '2026-01-01' FROM range(?) numbers(number)
        """,
        [topics.cancellation, count],
    ).fetchall()
