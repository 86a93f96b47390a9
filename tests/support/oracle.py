"""The result that the contract requires for a set of records, computed without code of the worker.

The two input topics reach the worker in any interleaving, so nothing here depends on one: signups go first, since a
cancellation ahead of its signup ends as one behind it. What must not happen inside one topic, one customer told two
different things on two partitions, raises `Undecided`.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from tests.support.envelope import Moment, Refused, moment
from tests.support.reading import Cancellation, Signup, read
from tests.support.records import Coordinates, Headers, Kind, Record, Topics

DEAD_LETTER_PREFIX = "__dlq.errors."
FIRST_DAYS = 90
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FIRST_MOMENT: Moment = (dt.datetime(1, 1, 1, tzinfo=dt.UTC), "")
LAST_MOMENT: Moment = (dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC), "999")


class Undecided(Exception):
    """The result depends on the order of two partitions: a mistake of the records, not of the worker."""


@dataclass(frozen=True, slots=True)
class Customer:
    """One row of `customers`."""

    industry: str
    plan_tier: str
    signup_date: dt.date
    mrr: Decimal
    churn_date: dt.date | None


@dataclass(frozen=True, slots=True)
class Event:
    """One `customer.churned`: its payload, its moment, and its other headers but the ids."""

    payload: Mapping[str, object]
    time: Moment
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter: the record as received, and what the added headers say (but `.message` and `.app.version`)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    errors: Mapping[str, str]


@dataclass(slots=True)
class Expected:
    """All that the contract promises about a set of records."""

    customers: dict[str, Customer] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    dead_letters: dict[Coordinates, DeadLetter] = field(default_factory=dict)
    outcomes: dict[Coordinates, tuple[str, str | None]] = field(default_factory=dict)
    applied_to: dict[Coordinates, str] = field(default_factory=dict)
    """Whom each applied record was about."""
    interchangeable: list[list[Coordinates]] = field(default_factory=list)
    """Records that say the same on different partitions: any one of them may be the one that took effect."""

    @property
    def parked(self) -> set[Coordinates]:
        """The records that still wait for a signup."""
        return {where for where, (outcome, _) in self.outcomes.items() if outcome == "parked"}

    @property
    def lost_arr(self) -> Decimal:
        """The sum of all events' lost ARR."""
        return sum((Decimal(event.payload["lost_arr"]["amount"]) for event in self.events.values()), Decimal(0))  # type: ignore[index]


def expected(records: Iterable[Record], topics: Topics, group: str) -> Expected:
    """Work out what must come of all the records of the input topics."""
    result = Expected()
    ordered = sorted(records, key=lambda record: (record.partition, record.offset))
    for customer_id, signups in _by_customer("signup", ordered, topics, group, result).items():
        _sign_up(customer_id, signups, result, group)
    for customer_id, cancellations in _by_customer("cancellation", ordered, topics, group, result).items():
        _cancel(customer_id, cancellations, result, group)
    return result


Readable = list[tuple[Record, Signup | Cancellation]]


def _by_customer(
    kind: Kind, ordered: list[Record], topics: Topics, group: str, result: Expected
) -> dict[str, Readable]:
    found: dict[str, Readable] = defaultdict(list)
    for record in ordered:
        if record.topic != topics.of(kind):
            continue
        try:
            message = read(kind, record)
        except Refused as refused:
            _reject(record, refused.reason, result, group)
        else:
            found[message.customer_id].append((record, message))
    return found


def _sign_up(customer_id: str, signups: Readable, result: Expected, group: str) -> None:
    (first, said), *others = signups
    if not isinstance(said, Signup):
        raise TypeError(said)
    result.customers[customer_id] = Customer(said.industry, said.plan_tier, said.signup_date, said.mrr, None)
    _apply(first, customer_id, result)
    for record, message in others:
        if message == said:
            result.outcomes[record.coordinates] = ("duplicate", None)
        else:
            _reject(record, "signup_conflict", result, group)
    _note_interchangeable(signups, alike=all(message == said for _, message in others), result=result)


def _cancel(customer_id: str, cancellations: Readable, result: Expected, group: str) -> None:
    customer = result.customers.get(customer_id)
    if customer is None:
        for record, _ in cancellations:
            result.outcomes[record.coordinates] = ("parked", None)
        return
    churned: Cancellation | None = None
    for record, message in cancellations:
        if not isinstance(message, Cancellation):
            raise TypeError(message)
        if churned is not None and message.cancellation_date == churned.cancellation_date:
            result.outcomes[record.coordinates] = ("duplicate", None)
        elif churned is not None:
            _reject(record, "already_churned", result, group)
        elif message.cancellation_date < customer.signup_date:
            _reject(record, "churn_before_signup", result, group)
        else:
            churned = message
            _apply(record, customer_id, result)
            result.customers[customer_id] = _ended(customer, message.cancellation_date)
            result.events[customer_id] = event_of(customer_id, customer, record, message)
    _note_interchangeable(cancellations, alike=_events_alike(cancellations), result=result)


def _ended(customer: Customer, date: dt.date) -> Customer:
    return Customer(customer.industry, customer.plan_tier, customer.signup_date, customer.mrr, date)


def _events_alike(cancellations: Readable) -> bool:
    """Return whether the event is the same for each of these records."""
    (first, said), *others = cancellations
    return said.attributes.id is not None and all(  # type: ignore[union-attr]
        message == said and record.headers == first.headers for record, message in others
    )


def _note_interchangeable(readable: Readable, *, alike: bool, result: Expected) -> None:
    if len({record.partition for record, _ in readable}) == 1:
        return
    if not alike:
        raise Undecided(f"{readable[0][1].customer_id} is told different things on several partitions")
    result.interchangeable.append([record.coordinates for record, _ in readable])


def _apply(record: Record, customer_id: str, result: Expected) -> None:
    result.outcomes[record.coordinates] = ("applied", None)
    result.applied_to[record.coordinates] = customer_id


def _reject(record: Record, reason: str, result: Expected, group: str) -> None:
    result.outcomes[record.coordinates] = ("rejected", reason)
    result.dead_letters[record.coordinates] = dead_letter_of(record, reason, group)


def dead_letter_of(record: Record, reason: str, group: str) -> DeadLetter:
    """Return the dead letter of a record that is rejected."""
    known = {key for key, _ in record.headers}
    errors = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp),
        "group": group,
        "reason": reason,
    }
    if f"{DEAD_LETTER_PREFIX}redrive.count" not in known:  # who counts a redrive up, and when, is not ours to say
        errors["redrive.count"] = "0"
    return DeadLetter(
        topic=f"{record.topic}-dlt",
        key=record.key,
        value=record.value,
        headers=tuple(pair for pair in record.headers if not pair[0].startswith(DEAD_LETTER_PREFIX)),
        errors=errors,
    )


def event_of(customer_id: str, customer: Customer, record: Record, said: Cancellation) -> Event:
    """Return the event of a customer who churned by this cancellation, which `record` holds."""
    attributes = said.attributes
    headers = {
        "ce_specversion": "1.0",
        "ce_source": "/customers",
        "ce_type": "customer.churned",
        "ce_subject": customer_id,
        "ce_causationid": attributes.id or "/".join(str(part) for part in record.coordinates),
        "content-type": "application/json",
    }
    copied = {
        "ce_correlationid": attributes.correlation,
        "traceparent": attributes.traceparent,
        "tracestate": attributes.tracestate,
    }
    headers.update({name: text for name, text in copied.items() if text is not None})
    time = moment(attributes.time) if attributes.time else None
    return Event(_payload(customer_id, customer, said), time or _recorded(record.timestamp), headers)


def _recorded(timestamp: int) -> Moment:
    """Return the moment of a record's timestamp, or the nearest one in the calendar."""
    seconds, milliseconds = divmod(timestamp, 1000)
    try:
        return EPOCH + dt.timedelta(seconds=seconds), f"{milliseconds:03}".rstrip("0")
    except OverflowError:
        return FIRST_MOMENT if timestamp < 0 else LAST_MOMENT


def _payload(customer_id: str, customer: Customer, said: Cancellation) -> dict[str, object]:
    tenure = (said.cancellation_date - customer.signup_date).days
    lost = (customer.mrr * 12).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return {
        "customer_id": customer_id,
        "signup_date": customer.signup_date.isoformat(),
        "churn_date": said.cancellation_date.isoformat(),
        "tenure_days": tenure,
        "is_early_stage": tenure <= FIRST_DAYS,
        "industry": customer.industry,
        "plan_tier": customer.plan_tier,
        "mrr": {"amount": shown(customer.mrr), "currency": "USD"},
        "lost_arr": {"amount": f"{lost:f}", "currency": "USD"},
        "reason": said.reason,
    }


def shown(amount: Decimal) -> str:
    """At least two decimals, and more only where it has them."""
    whole, _, decimals = f"{amount:.6f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
