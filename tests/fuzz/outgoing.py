"""What is published because of a fetch: events of the accepted records, dead letters of the rejected ones, as bytes."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from unittest.mock import patch

from domain.customer import MRR, Customer, Industry, PlanTier
from tests.fuzz.fetches import Fetch
from tests.fuzz.readings import Said, for_oracle
from tests.support import oracle
from tests.support.builders import CHURNED, SIGNUPS, cancellation, cancelled, composer
from tests.support.comparison import dead_letter_differences, event_differences
from tests.support.envelope import Attributes, moment
from tests.support.envelope import Refused as OracleRefused
from tests.support.murmur2 import partition_of
from tests.support.raw_batches import RawRecord, unpack
from tests.support.reading import INDUSTRIES, PLAN_TIERS, Cancellation, Signup
from tests.support.records import Record
from worker.kafka import clients
from worker.messages.churned_event import Envelope
from worker.messages.message import Cancellation as CancellationMessage
from worker.messages.message import Message, Refused
from worker.messages.message import Signup as SignupMessage
from worker.messages.outgoing import Outgoing
from worker.messages.record import PlainRecord
from worker.outbox.publisher import Publisher
from worker.settings import Kafka

PARTITIONS = 8
GROUP = "customer-worker"
Decoded = tuple[PlainRecord, Message, Message, Said]
"""A record, its message where it is unpacked and by the plain path, and what the oracle reads in it."""
Due = oracle.Event | oracle.DeadLetter

_COMPOSER = composer()
_TENURES = (0, 1, 89, 90, 91, 365, 4_000)
_AMOUNTS = [
    Decimal(text) for text in ("0", "0.000000", "499", "499.0", "83.333333", "83.333300", "999999999999.999999")
]
_LEAVING = cancelled(cancellation(7))
_LEFT = Record("customer.cancellation", 0, 7, _LEAVING.timestamp, None, None, ())


@dataclass(slots=True)
class Published:
    """Differences of the published records, by the offset of their cause; and the number of events."""

    differences: list[tuple[int, str]] = field(default_factory=list)
    events: int = 0


def outgoing_differences(fetch: Fetch, decoded: Sequence[Decoded]) -> Published:
    """Compose and pack what each record leads to, and compare it with the oracle's result.

    Signups churn by a cancellation of ours, cancellations are of customers of ours: every accepted record is in an
    event. Each second record is taken as the plain path decoded it.
    """
    published = Published()
    messages: list[Outgoing] = []
    due: dict[tuple[str, int], list[tuple[int, Due]]] = defaultdict(list)
    for number, (record, fast, plain, said) in enumerate(decoded):
        message, wanted = _led_to(number, record, plain if number % 2 else fast, said)
        messages.append(message)
        if isinstance(wanted, oracle.Event):
            published.events += 1
            place = CHURNED, partition_of((message.customer_id or "").encode(), PARTITIONS)
        else:
            place = wanted.topic, fetch.partition
        due[place].append((record.offset, wanted))
    for place, found in _packed(messages).items():
        wanted_here = due.pop(place, [])
        if len(found) != len(wanted_here):
            published.differences.append((-1, f"{len(found)} records for {place} instead of {len(wanted_here)}"))
        for (offset, each), record_found in zip(wanted_here, found, strict=False):
            published.differences += [(offset, f"published: {text}") for text in _differ(place, each, record_found)]
    published.differences += [(offset, "not published") for missing in due.values() for offset, _ in missing]
    return published


def _led_to(number: int, record: PlainRecord, message: Message, said: Said) -> tuple[Outgoing, Due]:
    match message, said:
        case Refused(), OracleRefused():
            letter = _COMPOSER.dead_letter(message.record(), message.rejected)
            return letter, oracle.dead_letter_of(for_oracle(record), said.reason, GROUP)
        case SignupMessage(), Signup():
            day = _later(said.signup_date, _TENURES[number % 7])
            customer = Customer(said.customer_id, message.industry, message.plan_tier, message.signup_date, message.mrr)
            event = _COMPOSER.churned(customer.mark_churned(day, "moved"), _LEAVING)
            wanted = oracle.Customer(said.industry, said.plan_tier, said.signup_date, said.mrr, None)
            left = Cancellation(said.customer_id, day, "moved", Attributes())
            return event, oracle.event_of(said.customer_id, wanted, _LEFT, left)
        case CancellationMessage(), Cancellation():
            wanted = _customer_before(number, said.cancellation_date)
            industry, tier = Industry(wanted.industry), PlanTier(wanted.plan_tier)
            customer = Customer(said.customer_id, industry, tier, wanted.signup_date, MRR(wanted.mrr))
            churned = customer.mark_churned(message.cancellation_date, message.reason)
            event = _COMPOSER.churned(churned, message)
            return event, oracle.event_of(said.customer_id, wanted, for_oracle(record), said)
    raise TypeError(message, said)


def _later(day: dt.date, days: int) -> dt.date:
    return dt.date.fromordinal(min(day.toordinal() + days, dt.date.max.toordinal()))


def _customer_before(number: int, day: dt.date) -> oracle.Customer:
    """Return a customer who signed up at most some days before."""
    signup_date = dt.date.fromordinal(max(day.toordinal() - _TENURES[number % 7], 1))
    return oracle.Customer(
        INDUSTRIES[number % 9], PLAN_TIERS[number % 5], signup_date, _AMOUNTS[number // 2 % len(_AMOUNTS)], None
    )


@cache
def _publisher() -> Publisher:
    """Return a publisher that is connected to nothing: only its batches are used."""
    topics = (CHURNED, f"{SIGNUPS}-dlt", "customer.cancellation-dlt")
    with patch.object(clients, "relay_producer", lambda _: None):
        return Publisher(Kafka(), dict.fromkeys(topics, PARTITIONS), Envelope("/customers"))


def _packed(messages: Sequence[Outgoing]) -> dict[tuple[str, int], list[RawRecord]]:
    """Return the records published, from the bytes of the batches, by topic and partition."""
    found: dict[tuple[str, int], list[RawRecord]] = defaultdict(list)
    for topic, partition, batch in _publisher()._batches(messages):
        batch._set_producer_state(7, 3, 21)
        found[topic, partition] += unpack(bytes(batch._build()))
    return found


def _differ(place: tuple[str, int], due: Due, found: RawRecord) -> list[str]:
    if isinstance(due, oracle.Event) and _is_as_due(due, found):
        return []
    headers = tuple((name.decode("utf-8", "surrogateescape"), value) for name, value in found.headers)
    record = Record(*place, found.offset, found.timestamp, found.key, found.value, headers)
    if isinstance(due, oracle.DeadLetter):
        return dead_letter_differences(due, record)
    return event_differences(due, record, (PARTITIONS,))


def _is_as_due(due: oracle.Event, found: RawRecord) -> bool:
    """Return True for most events that have no difference, in a third of the time that it takes to list differences."""
    headers = dict(found.headers)
    identity, time = headers.get(b"ce_id") or b"", headers.get(b"ce_time") or b""
    return (
        len(found.headers) == len(headers) == len(due.headers) + 3
        and all(headers.get(name.encode()) == text.encode() for name, text in due.headers.items())
        and identity[14:15] == b"5"
        and (headers[b"ce_dataschema"] or b"").startswith(b"urn:")
        and time.endswith(b"Z")
        and moment(time.decode()) == due.time
        and json.loads(found.value or b"") == due.payload
    )
