"""The changes of a batch, committed in one transaction, and what a commit adds to the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from domain.customer import Customer
from worker.messages.log_identity import RecordMark
from worker.messages.outgoing import Outgoing
from worker.messages.record import Record, TopicPartition


class RecordCoordinates(NamedTuple):
    """Topic, partition and offset of a record."""

    topic: str
    partition: int
    offset: int


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """A decision other than `applied`: duplicate, parked or rejected, the latter with its `reason`."""

    topic: str
    partition: int
    offset: int
    customer_id: str | None
    outcome: str
    reason: str | None = None


class Redrive(NamedTuple):
    """A redriven record: the id of its dead letter, its coordinates, and the SHA-256 of its value."""

    dead_letter_id: str
    topic: str
    partition: int
    offset: int
    value_sha256: str


class ParkedRecord(NamedTuple):
    """A cancellation that waits for its customer's signup."""

    customer_id: str
    record: Record


class Committed(NamedTuple):
    """The rows that a commit added to the outbox.

    `messages` are those to be published: the others have a receipt already. Of silent changes, which are never
    published, they are those that would be. `rows` are the numbers of all the added rows; None where rows get their
    numbers after the commit.
    """

    messages: Sequence[Outgoing]
    rows: range | None


class PendingBatch(NamedTuple):
    """The messages to be published next, in order.

    They are the rows of the outbox after `after_seq` up to `last_seq`, less those with a receipt: the
    messages can be fewer than the rows, or none.
    """

    after_seq: int
    messages: Sequence[Outgoing]
    last_seq: int


@dataclass(slots=True)
class Changes:
    """The changes of a batch, committed in one transaction.

    An applied record is recorded with its effect: the coordinates of a signup in `signups`, by customer, those of a
    cancellation in the `cause` of its event. `journal` has the other decisions.

    `last_records` has the last record before a position, if a batch has one. `undecided` are records before
    their position that were found to have no decision yet. With `is_silent` the outgoing records count as published,
    and are never sent.
    """

    new_customers: dict[str, Customer] = field(default_factory=dict)
    signups: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    changed_customers: dict[str, Customer] = field(default_factory=dict)
    parked: dict[RecordCoordinates, ParkedRecord] = field(default_factory=dict)
    released: list[RecordCoordinates] = field(default_factory=list)
    abandoned: list[RecordCoordinates] = field(default_factory=list)
    journal: list[JournalRow] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    redrives: list[Redrive] = field(default_factory=list)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    last_records: dict[TopicPartition, RecordMark] = field(default_factory=dict)
    undecided: list[RecordCoordinates] = field(default_factory=list)
    is_silent: bool = False
