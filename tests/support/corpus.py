"""The seeded records of the acceptance tests: who signs up, who cancels, who repeats, contradicts or garbles it."""

import dataclasses
import datetime as dt
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from tests.support.bad_records import bad_records
from tests.support.murmur2 import partition_of
from tests.support.odd_records import odd_cancellations, odd_signups
from tests.support.reading import INDUSTRIES, PLAN_TIERS
from tests.support.records import Headers, Kind, Message
from tests.support.spelling import quoted, spelled, structured
from tests.support.spelling import signup as plain_signup

SEED = 20_260_115
ODD_KEYS = (None, b"", b"\xff\xfe\x00", b"k" * 200_000, b"00000000-0000-0000-0000-000000000000")


@dataclass(slots=True)
class Corpus:
    """Records in the order in which each topic gets them. The early ones go first: cancellations ahead of signups."""

    early: list[Message] = field(default_factory=list)
    signups: list[Message] = field(default_factory=list)
    cancellations: list[Message] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """All of them in an order that fits."""
        return [*self.early, *self.signups, *self.cancellations]


@dataclass(frozen=True, slots=True)
class Person:
    """A customer as the corpus knows them: what they mean, before it is spelled."""

    number: int
    customer_id: str
    industry: str
    plan_tier: str
    signup_date: dt.date
    mrr: Decimal

    def left(self, days: int) -> dt.date:
        """Return the date so many days after signup."""
        return self.signup_date + dt.timedelta(days=days)


def make_corpus(signups: int, partitions: int, seed: int = SEED, *, troubles: bool = True) -> Corpus:
    """`signups` customers and half as many cancellations, spread over `partitions`.

    5 % are repeats, 5 % of the cancellations come ahead, about 1 % each are conflicts, second dates, dates before
    signup and cancellations of nobody. `troubles` adds every bad and every odd record there is.
    The same seed gives the same bytes.
    """
    return _Writer(random.Random(seed), partitions).write(signups, troubles=troubles)


class _Writer:
    """Spells people's doings as records."""

    def __init__(self, rng: random.Random, partitions: int) -> None:
        self._rng = rng
        self._partitions = partitions
        self._serial = 0

    def write(self, signups: int, *, troubles: bool) -> Corpus:
        people = [self._person(number) for number in range(signups)]
        self._rng.shuffle(people)
        leavers, loyal = people[: signups // 2], people[signups // 2 :]
        ahead, behind = leavers[: len(leavers) // 20], leavers[len(leavers) // 20 :]
        corpus = Corpus(signups=self._all_signups(people))
        self._leave(behind, corpus.cancellations)
        self._leave_ahead_of_signup(ahead, corpus.early)
        self._leave_before_signup(loyal, corpus)
        self._strangers_leave(max(6, signups // 200), corpus)
        if troubles:
            self._add_troubles(corpus)
        return corpus

    def _all_signups(self, people: list[Person]) -> list[Message]:
        """First signups, repeats and contradictions; and, of other people, repeats on another partition."""
        messages = [self._signup(person) for person in people]
        spread, others = people[: len(people) // 500], people[len(people) // 500 :]
        messages += [self._signup(person) for person in self._some(others, 0.05)]
        messages += [self._signup(self._contradict(person)) for person in self._some(others, 0.01)]
        messages += [self._moved(self._signup(person), b"elsewhere-%d" % person.number) for person in spread]
        return messages

    def _leave(self, leavers: list[Person], cancellations: list[Message]) -> None:
        """First cancellations, repeats and second dates; and, of other people, redeliveries on another partition."""
        spread, others = leavers[: len(leavers) // 100], leavers[len(leavers) // 100 :]
        dates = {person.customer_id: person.left(self._tenure()) for person in leavers}
        first = [self._cancellation(person, dates[person.customer_id]) for person in leavers]
        again = [self._cancellation(person, dates[person.customer_id]) for person in self._some(others, 0.05)]
        second = [self._cancellation(person, person.left(5_000)) for person in self._some(others, 0.02)]
        # Only with an id of its own does a cancellation bring the same event from whichever partition it is taken.
        redelivered = [
            self._moved(message, b"again-%d" % number)
            for number, message in enumerate(first[: len(spread)])
            if any(name == "ce_id" for name, _ in message.headers)
        ]
        cancellations += first + again + second + redelivered

    def _leave_ahead_of_signup(self, ahead: list[Person], early: list[Message]) -> None:
        early += [self._cancellation(person, person.left(self._tenure())) for person in ahead]
        early += [self._cancellation(person, person.left(6_000)) for person in self._some(ahead, 0.2)]

    def _leave_before_signup(self, loyal: list[Person], corpus: Corpus) -> None:
        """Dates before signup, of people who else stay; some of them said before the signup is, and so parked first."""
        too_soon = self._some(loyal, 0.02)
        corpus.early += [self._cancellation(person, person.left(-30)) for person in too_soon[::2]]
        corpus.cancellations += [self._cancellation(person, person.left(-1)) for person in too_soon]
        # Having been refused once does not keep a customer from leaving in earnest.
        corpus.cancellations += [self._cancellation(person, person.left(self._tenure())) for person in too_soon[::3]]

    def _strangers_leave(self, count: int, corpus: Corpus) -> None:
        """Add cancellations of customers who never sign up; of every other one there are two."""
        strangers = [self._person(1_000_000_000 + number) for number in range(count)]
        corpus.cancellations += [self._cancellation(person, person.left(self._tenure())) for person in strangers]
        corpus.early += [self._cancellation(person, person.left(self._tenure())) for person in strangers[::2]]

    def _moved(self, message: Message, key: bytes) -> Message:
        """Return the same message under a wrong key, and on the partition of that key."""
        return dataclasses.replace(message, key=key, partition=None)

    def _add_troubles(self, corpus: Corpus) -> None:
        """Every bad and odd record, scattered among the plain ones."""
        for number, bad in enumerate(bad_records()):
            message = Message(bad.kind, bad.name.encode(), bad.value, bad.headers)
            self._scatter(message, self._list_for(bad.kind, number, corpus))
        for odd in odd_signups():
            message = Message("signup", odd.customer_id.encode(), odd.value, odd.headers)
            self._scatter(message, corpus.signups)
        for number, key in enumerate(ODD_KEYS):
            customer_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"odd key/{number}"))
            self._scatter(Message("signup", key, plain_signup(customer_id)), corpus.signups)
        for ended in odd_cancellations():
            key = ended.customer_id.encode()
            self._scatter(Message("signup", key, plain_signup(ended.customer_id)), corpus.signups)
            self._scatter(Message("cancellation", key, ended.value, ended.headers), corpus.cancellations)

    def _list_for(self, kind: Kind, number: int, corpus: Corpus) -> list[Message]:
        if kind == "signup":
            return corpus.signups
        return corpus.early if number % 5 == 0 else corpus.cancellations

    def _scatter(self, message: Message, messages: list[Message]) -> None:
        messages.insert(self._rng.randrange(len(messages) + 1), message)

    def _some(self, people: list[Person], share: float) -> list[Person]:
        return self._rng.sample(people, min(len(people), max(2, int(len(people) * share))))

    def _tenure(self) -> int:
        days = self._rng.randrange(900)
        return 91 if days == 90 else days  # the contract leaves open on which side day 90 falls

    def _person(self, number: int) -> Person:
        rng = self._rng
        industry = "Beekeeping" if rng.random() < 0.02 else rng.choice(INDUSTRIES)
        decimals = rng.choice((0, 1, 2, 2, 2, 2, 4, 6))
        mrr = Decimal(rng.randrange(10 ** (decimals + 4))).scaleb(-decimals)
        signup_date = dt.date(2023, 1, 1) + dt.timedelta(days=rng.randrange(1_300))
        customer_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        return Person(number, customer_id, industry, rng.choice(PLAN_TIERS), signup_date, mrr)

    def _contradict(self, person: Person) -> Person:
        changes: tuple[Callable[[], Person], ...] = (
            lambda: dataclasses.replace(person, mrr=person.mrr + Decimal("0.000001")),
            lambda: dataclasses.replace(person, plan_tier="free" if person.plan_tier != "free" else "custom"),
            lambda: dataclasses.replace(person, signup_date=person.left(1)),
            lambda: dataclasses.replace(person, industry="EdTech" if person.industry != "EdTech" else "Other"),
        )
        return self._rng.choice(changes)()

    def _signup(self, person: Person) -> Message:
        fields = {
            "customer_id": quoted(self._cased(person.customer_id)),
            "industry": quoted(self._cased(person.industry)),
            "plan_tier": quoted(self._cased(person.plan_tier)),
            "signup_date": quoted(self._date(person.signup_date)),
            "mrr": self._money(person.mrr),
        }
        return self._enveloped("signup", person, spelled(fields))

    def _cancellation(self, person: Person, date: dt.date) -> Message:
        reason = self._rng.choice((None, "too_expensive", "missing_feature", "aufgegeben \u2013 für immer", "🚀"))
        fields = {
            "customer_id": quoted(self._cased(person.customer_id)),
            "cancellation_date": quoted(self._date(date)),
            "reason": None if reason is None else quoted(reason),
        }
        return self._enveloped("cancellation", person, spelled(fields))

    def _cased(self, text: str) -> str:
        return self._rng.choice((text.upper(), text.lower(), text.swapcase())) if self._rng.random() < 0.1 else text

    def _date(self, date: dt.date) -> str:
        """Return the date itself, or a time in any time zone that falls on it in UTC."""
        if self._rng.random() < 0.85:
            return date.isoformat()
        offset = dt.timezone(dt.timedelta(minutes=self._rng.randrange(-14 * 60, 14 * 60, 15)))
        moment = dt.datetime.combine(date, dt.time(), dt.UTC) + dt.timedelta(seconds=self._rng.randrange(24 * 3600))
        return moment.astimezone(offset).isoformat().replace("+00:00", self._rng.choice(("Z", "+00:00")))

    def _money(self, amount: Decimal) -> str:
        text = f"{amount:f}"
        if self._rng.random() < 0.2 and "." in text:
            text += "0" * self._rng.randrange(8)
        forms = (f'{{"amount": "{text}", "currency": "USD"}}', f'"{text}"', text)
        return self._rng.choices(forms, (8, 1, 1))[0]

    def _enveloped(self, kind: Kind, person: Person, value: bytes) -> Message:
        """Wrap the payload in one of the three modes; the key is mostly as it should be."""
        self._serial += 1
        identity = f"{kind}-{self._serial}"
        mode = self._rng.choices(("binary", "structured", "bare"), (7, 2, 1))[0]
        headers: Headers = ()
        if mode == "binary":
            headers = self._binary(kind, identity)
        elif mode == "structured":
            time = {"time": '"2026-11-01T00:00:00Z"'} if self._serial % 2 else {}
            value = structured(value, id=quoted(identity), type=f'"customer.{kind}"', **time)
            headers = (("content-type", b"application/cloudevents+json"),)
        if self._serial % 10 == 0:
            trace = b"00-%032x-%016x-01" % (self._serial, self._serial)
            headers = (*headers, ("traceparent", trace), ("tracestate", b"corpus=%d" % self._serial))
        return self._keyed(kind, person, value, headers)

    def _binary(self, kind: Kind, identity: str) -> Headers:
        headers: Headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", identity.encode()),
            ("ce_source", b"/billing"),
            ("ce_type", f"customer.{kind}".encode()),
            ("ce_time", b"2026-11-01T00:00:00Z"),
            ("content-type", b"application/json"),
        )
        return (*headers, ("ce_correlationid", b"c-%d" % self._serial)) if self._serial % 4 == 0 else headers

    def _keyed(self, kind: Kind, person: Person, value: bytes, headers: Headers) -> Message:
        key = person.customer_id.encode()
        # A wrong or missing key must not move the record: a customer's order is only defined on one partition.
        partition = partition_of(key, self._partitions)
        drawn = self._rng.random()
        if drawn < 0.01:
            return Message(kind, None, value, headers, partition)
        if drawn < 0.02:
            return Message(kind, b"another key", value, headers, partition)
        return Message(kind, key, value, headers, partition)
