"""A dead letter as people ask for it: where it came from, why it was refused, what became of it, what is at stake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from domain.customer import MRR
from worker.messages.record import Header


class State(StrEnum):
    """What became of a dead letter. The first two wait for someone or something; the others are settled."""

    OPEN = "open"
    REDRIVEN = "redriven"
    APPLIED = "applied"
    REFUSED_AGAIN = "refused_again"
    DISCARDED = "discarded"


WAITING = (State.OPEN, State.REDRIVEN)


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are meant; what is empty does not count. `topic` is the one they came from.

    An id is `topic/partition/offset`, with `@timestamp` or without. A letter's age counts from its refusal.
    """

    ids: tuple[str, ...] = ()
    topic: str | None = None
    reason: str | None = None
    customer: str | None = None
    refused_before: datetime | None = None
    refused_since: datetime | None = None


class StoredLetter(NamedTuple):
    """What a store knows of a dead letter, its record aside.

    `outcome` is the last decision about the record itself; the redrive's, the one about the record that sent it again.
    `mrr` and `churn_date` are the customer's, where the store has them.
    """

    seq: int
    id: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    refused_at: datetime
    reason: str
    outcome: str
    customer_id: str | None
    mrr: str | None
    churn_date: date | None
    redriven_to: str | None
    redrive_outcome: str | None
    discarded_because: str | None

    @property
    def state(self) -> State:
        """What became of it, as far as the store has read."""
        for outcome in (self.outcome, self.redrive_outcome):  # read once more from where it stood, or sent again
            if outcome in {"applied", "duplicate"}:
                return State.APPLIED
            if outcome == "parked":
                return State.REDRIVEN
        if self.redrive_outcome == "rejected":
            return State.REFUSED_AGAIN
        return State.DISCARDED if self.discarded_because is not None else State.OPEN


class WaitingLetter(NamedTuple):
    """What is needed of a dead letter that is not settled to say what is at stake with it.

    `mrr` is the customer's, None where the store has no such customer; `has_left`: the customer churned;
    `refused_at`: when the record was rejected.
    """

    seq: int
    topic: str
    customer_id: str | None
    mrr: str | None
    has_left: bool
    refused_at: datetime


class StoredRecord(NamedTuple):
    """What a store kept of a dead letter's record."""

    seq: int
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]


class LetterRecord(msgspec.Struct, frozen=True):
    """The record of a dead letter as it is answered. Header names are bytes, as not every one is text."""

    seq: int
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]

    def plain_headers(self) -> list[Header]:
        """The headers as records have them."""
        return [(name.decode(errors="surrogateescape"), value) for name, value in self.headers]


class Letter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A dead letter and what is to be known of it. `arr_at_stake` is in dollars a year, None where it is unknown."""

    seq: int
    id: str
    topic: str
    partition: int
    offset: int
    sent_at_ms: int
    refused_at: datetime
    reason: str
    message: str
    redrives: int
    state: State
    customer_id: str | None = None
    arr_at_stake: Decimal | None = None
    redriven_to: str | None = None
    redrive_outcome: str | None = None
    discarded_because: str | None = None

    @property
    def coordinates(self) -> str:
        """Where its record stands: `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def arr_at_stake(mrr: str | None, *, has_left: bool, is_signup: bool, stated: MRR | None) -> Decimal | None:
    """The ARR at stake with a dead letter: by how many dollars ARR would differ, had the record taken effect.

    None where that cannot be said. The one definition, for commands, metrics and the operations page. `mrr` is the
    customer's as the store has it, `stated` the one that a signup states. A cancellation puts its active customer's
    ARR at stake, that of a customer who left already nothing; a signup what it states, less what its customer is known
    for. With several letters, each customer counts once (`total`).
    """
    if has_left:
        return Decimal(0)
    known = None if mrr is None else MRR(Decimal(mrr)).annual
    if not is_signup:
        return known
    if stated is None:
        return None
    return abs(stated.annual - (known or Decimal(0)))


class Group(msgspec.Struct, frozen=True):
    """Dead letters of one state and reason, in number and money: each customer's money counts once.

    `unknown` is the number of letters whose money cannot be said.
    """

    state: State
    reason: str
    letters: int
    arr_at_stake: Decimal
    unknown: int


def total(letters: Iterable[Letter]) -> Decimal:
    """What is at stake with all of these: of a customer with several letters, the most that any one of them puts."""
    return total_of((letter.customer_id, letter.arr_at_stake) for letter in letters)


def total_of(stakes: Iterable[tuple[str | None, Decimal | None]]) -> Decimal:
    """The same of customers and the ARR at stake with one letter of each; None where either is unknown."""
    most: dict[str, Decimal] = {}
    nobodys = Decimal(0)
    for customer_id, arr in stakes:
        if arr is None:
            continue
        if customer_id is None:
            nobodys += arr
        else:
            most[customer_id] = max(most.get(customer_id, Decimal(0)), arr)
    return sum(most.values(), nobodys)


def with_earlier(chosen: Sequence[Letter], every: Iterable[Letter]) -> list[Letter]:
    """These letters, and those whose record was sent again, refused again and so became one of them."""
    became = {letter.redriven_to: letter for letter in every if letter.state is State.REFUSED_AGAIN}
    found = []
    for letter in chosen:
        found.append(letter)
        while earlier := became.get(found[-1].coordinates):
            found.append(earlier)
    return found


def grouped(letters: Sequence[Letter]) -> list[Group]:
    """The letters in groups, those that wait first, and in each state the most money first."""
    by: dict[tuple[State, str], list[Letter]] = defaultdict(list)
    for letter in letters:
        by[letter.state, letter.reason].append(letter)
    groups = [
        Group(state, reason, len(those), total(those), sum(letter.arr_at_stake is None for letter in those))
        for (state, reason), those in by.items()
    ]
    order = list(State)
    return sorted(groups, key=lambda g: (order.index(g.state), -g.arr_at_stake, g.reason))
