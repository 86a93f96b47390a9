"""What a store answers about its dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec

from domain.customer import MRR
from worker.dead_letters.letters import (
    Filters,
    Letter,
    LetterRecord,
    StoredLetter,
    StoredRecord,
    WaitingLetter,
    arr_at_stake,
    total_of,
)
from worker.messages import stated_mrr
from worker.outgoing import DEAD_LETTER_PREFIX, redrive_count
from worker.question import Nothing, Question
from worker.records import PlainRecord, TopicPartition
from worker.settings import Settings, Topics
from worker.view import AtStake, StoreView

L = TypeVar("L", StoredLetter, WaitingLetter)

RECORDS_AT_ONCE = 10_000
BYTES_AT_ONCE = 8 * 1024 * 1024


class LettersAnswer(msgspec.Struct, frozen=True):
    """Dead letters, and how far the store had read each input partition: topic, partition, next offset."""

    letters: list[Letter]
    positions: list[tuple[str, int, int]]

    def next_offsets(self) -> dict[TopicPartition, int]:
        """The next offset of each input partition."""
        return {(topic, partition): offset for topic, partition, offset in self.positions}


class Rows(msgspec.Struct, frozen=True):
    """Rows of the outbox."""

    seqs: list[int]


def sources(topics: Topics) -> dict[str, str]:
    """Each dead letter topic, and the topic that its letters came from."""
    return {topic + topics.dead_letter_suffix: topic for topic in topics.inputs}


def described(store: StoreView, settings: Settings, filters: Filters) -> list[Letter]:
    """The dead letters that are meant, in the order they were written, each with what is to be known of it."""
    stored = store.dead_letters(sources(settings.topics), filters)
    return [
        _described(letter, record, is_signup=letter.topic == settings.topics.signup)
        for letter, record in with_records(store, stored, settings.batch.max_value_bytes)
    ]


def with_records(store: StoreView, stored: Sequence[L], largest_value: int) -> Iterator[tuple[L, StoredRecord]]:
    """The letters and their records, read some at a time: together they can be far larger than the memory."""
    done = 0
    while part := stored[done : done + RECORDS_AT_ONCE]:
        seqs = [letter.seq for letter in part]
        records = store.letter_records(seqs, up_to_bytes=BYTES_AT_ONCE, largest_value=largest_value)
        yield from zip(part, records, strict=False)  # which are fewer where their values are large
        done += len(records)


def _described(letter: StoredLetter, record: StoredRecord, *, is_signup: bool) -> Letter:
    message = dict(record.headers).get(f"{DEAD_LETTER_PREFIX}message") or b""
    return Letter(
        seq=letter.seq,
        id=letter.id,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        sent_at_ms=letter.timestamp_ms,
        refused_at=letter.refused_at,
        reason=letter.reason,
        message=message.decode(errors="replace"),
        redrives=redrive_count(record.headers),
        state=letter.state,
        customer_id=letter.customer_id,
        arr_at_stake=arr_at_stake(
            letter.mrr,
            has_left=letter.churn_date is not None,
            is_signup=is_signup,
            stated=_stated(letter.topic, record) if is_signup else None,
        ),
        redriven_to=letter.redriven_to,
        redrive_outcome=letter.redrive_outcome,
        discarded_because=letter.discarded_because,
    )


def at_stake(store: StoreView, settings: Settings) -> AtStake:
    """The dead letters that are not settled, in number and in ARR at stake: what `dead-letters list` adds up."""
    letters = store.waiting_letters(sources(settings.topics))
    since = min((letter.refused_at for letter in letters), default=None)
    return AtStake(len(letters), total_of(_stakes(store, settings, letters)), since)


def _stakes(
    store: StoreView, settings: Settings, letters: Sequence[WaitingLetter]
) -> Iterator[tuple[str | None, Decimal | None]]:
    """Each letter's customer and ARR at stake. Only of signups the record has to be read."""
    topic = settings.topics.signup
    signups = []
    for letter in letters:
        if letter.topic == topic and not letter.has_left:
            signups.append(letter)
        else:
            arr = arr_at_stake(letter.mrr, has_left=letter.has_left, is_signup=False, stated=None)
            yield letter.customer_id, arr
    for letter, record in with_records(store, signups, settings.batch.max_value_bytes):
        stated = _stated(topic, record)
        yield letter.customer_id, arr_at_stake(letter.mrr, has_left=False, is_signup=True, stated=stated)


def _stated(topic: str, record: StoredRecord) -> MRR | None:
    return stated_mrr(PlainRecord(topic, record.partition, 0, -1, record.key, record.value, record.headers))


def _positions(view: StoreView, _: Settings, __: Nothing) -> list[tuple[str, int, int]]:
    return [(*place, offset) for place, offset in view.positions().items()]


def _letters(view: StoreView, settings: Settings, filters: Filters) -> LettersAnswer:
    return LettersAnswer(described(view, settings, filters), _positions(view, settings, Nothing()))


def _records(view: StoreView, _: Settings, rows: Rows) -> list[LetterRecord]:
    return [_answered(record) for record in view.letter_records(rows.seqs, up_to_bytes=BYTES_AT_ONCE)]


def _answered(record: StoredRecord) -> LetterRecord:
    headers = [(name.encode(errors="surrogateescape"), text) for name, text in record.headers]
    return LetterRecord(record.seq, record.partition, record.key, record.value, headers)


LETTERS = Question("dead-letters", Filters, LettersAnswer, _letters)
LETTER_RECORDS = Question("dead-letter-records", Rows, list[LetterRecord], _records)
POSITIONS = Question("positions", Nothing, list[tuple[str, int, int]], _positions)
