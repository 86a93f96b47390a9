"""Dead letters as operators see them: source, reason, state, and ARR at stake."""

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
    """State of a dead letter. The first two are open; the others are settled."""

    OPEN = "open"
    REDRIVEN = "redriven"
    APPLIED = "applied"
    REFUSED_AGAIN = "refused_again"
    DISCARDED = "discarded"


WAITING = (State.OPEN, State.REDRIVEN)


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Filters that select dead letters; an empty one selects all. `topic` is the source topic.

    An id is `topic/partition/offset`, with `@timestamp` or without. A letter's age counts from its refusal. `sender`
    is the CloudEvents source of the record, "" selects records without one; the store does not filter by it. With
    `newest`, so many letters are selected at most, the last ones.
    """

    ids: tuple[str, ...] = ()
    topic: str | None = None
    reason: str | None = None
    customer: str | None = None
    refused_before: datetime | None = None
    refused_since: datetime | None = None
    states: tuple[State, ...] = ()
    sender: str | None = None
    newest: int | None = None


class StoredLetter(NamedTuple):
    """A dead letter in the store, without its record.

    `outcome` is the last decision about the record itself, `redrive_outcome` that about the redriven record. `mrr` and
    `churn_date` are the customer's, None if the store has no such customer.
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
        """State of the letter according to the store."""
        for outcome in (self.outcome, self.redrive_outcome):  # replayed at its offset, or redriven
            if outcome in {"applied", "duplicate"}:
                return State.APPLIED
            if outcome == "parked":
                return State.REDRIVEN
        if self.redrive_outcome == "rejected":
            return State.REFUSED_AGAIN
        return State.DISCARDED if self.discarded_because is not None else State.OPEN


class WaitingLetter(NamedTuple):
    """The attributes of an unsettled dead letter from which its ARR at stake is computed.

    `mrr` is the customer's, None if the store has no such customer; `has_left` is True if the customer churned;
    `refused_at` is the time of the rejection.
    """

    seq: int
    topic: str
    customer_id: str | None
    mrr: str | None
    has_left: bool
    refused_at: datetime


class StoredRecord(NamedTuple):
    """The record of a dead letter as stored."""

    seq: int
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]


class LetterRecord(msgspec.Struct, frozen=True):
    """The record of a dead letter in a query's result. Header names are bytes: they may be invalid UTF-8."""

    seq: int
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]

    def plain_headers(self) -> list[Header]:
        """Return the headers in the form that records have."""
        return [(name.decode(errors="surrogateescape"), value) for name, value in self.headers]


class Letter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A dead letter in a query's result. `arr_at_stake` is in dollars per year, None if it is unknown.

    `sender` is the CloudEvents source of its record, None if it has none.
    """

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
    sender: str | None = None
    customer_id: str | None = None
    arr_at_stake: Decimal | None = None
    redriven_to: str | None = None
    redrive_outcome: str | None = None
    discarded_because: str | None = None

    @property
    def coordinates(self) -> str:
        """Coordinates of its record: `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def is_of(sender: str | None, letter: Letter) -> bool:
    """Return whether the letter is of this sender, as `Filters.sender` selects."""
    return sender is None or (letter.sender or "") == sender


def arr_at_stake(mrr: str | None, *, has_left: bool, is_signup: bool, stated: MRR | None) -> Decimal | None:
    """Compute the ARR at stake in a dead letter: the difference to ARR, in dollars, had the record taken effect.

    Returns None if it is unknown. This is the only definition, for commands, metrics and the operations page. `mrr` is
    the customer's in the store, `stated` that in a signup. A cancellation has the ARR of an active customer at stake,
    and 0 for a churned one; a signup has the difference between the stated ARR and the stored one. `total` counts a
    customer with several letters once.
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
    """Number and ARR at stake of the dead letters of one state and reason. Each customer's ARR counts once.

    `unknown` is the number of letters with unknown ARR at stake.
    """

    state: State
    reason: str
    letters: int
    arr_at_stake: Decimal
    unknown: int


def total(letters: Iterable[Letter]) -> Decimal:
    """Return the ARR at stake in these letters: for a customer with several letters, the largest amount."""
    return total_of((letter.customer_id, letter.arr_at_stake) for letter in letters)


def total_of(stakes: Iterable[tuple[str | None, Decimal | None]]) -> Decimal:
    """Return the total of pairs of a customer and an ARR at stake; None stands for an unknown one."""
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
    """Return these letters, and the earlier letters of the same records, which were redriven and refused again."""
    became = {letter.redriven_to: letter for letter in every if letter.state is State.REFUSED_AGAIN}
    found = []
    for letter in chosen:
        found.append(letter)
        while earlier := became.get(found[-1].coordinates):
            found.append(earlier)
    return found


def grouped(letters: Sequence[Letter]) -> list[Group]:
    """Group the letters: open ones first, and within a state by ARR at stake, descending."""
    by: dict[tuple[State, str], list[Letter]] = defaultdict(list)
    for letter in letters:
        by[letter.state, letter.reason].append(letter)
    groups = [
        Group(state, reason, len(those), total(those), sum(letter.arr_at_stake is None for letter in those))
        for (state, reason), those in by.items()
    ]
    order = list(State)
    return sorted(groups, key=lambda g: (order.index(g.state), -g.arr_at_stake, g.reason))
