"""Queries about dead letters and positions."""

from __future__ import annotations

import msgspec

from worker.messages.dead_letter import DEAD_LETTER_PREFIX, redrive_count
from worker.messages.record import TopicPartition
from worker.queries.query import NoParameters, Query
from worker.settings import Settings
from worker.stores.arr_at_stake import BYTES_AT_ONCE, sender, sources, stated, with_records
from worker.stores.dead_letters import (
    Filters,
    Letter,
    LetterRecord,
    StoredLetter,
    StoredRecord,
    arr_at_stake,
    is_of,
)
from worker.stores.reading import StoreView


class LettersAnswer(msgspec.Struct, frozen=True):
    """Dead letters, and the position of each input partition: topic, partition, next offset."""

    letters: list[Letter]
    positions: list[tuple[str, int, int]]

    def next_offsets(self) -> dict[TopicPartition, int]:
        """Return the next offset of each input partition."""
        return {(topic, partition): offset for topic, partition, offset in self.positions}


class LetterRecordsQuery(msgspec.Struct, frozen=True):
    """Selection of dead letters by their rows of the outbox."""

    seqs: list[int]


def described(store: StoreView, settings: Settings, filters: Filters) -> list[Letter]:
    """Return the selected dead letters in the order they were written, with customer, state and ARR at stake."""
    stored = store.dead_letters(sources(settings.topics), filters)
    letters = [
        _described(letter, record, is_signup=letter.topic == settings.topics.signup)
        for letter, record in with_records(store, stored, settings.batch.max_value_bytes)
    ]
    return [letter for letter in letters if is_of(filters.sender, letter)]


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
        sender=sender(letter.topic, record),
        customer_id=letter.customer_id,
        arr_at_stake=arr_at_stake(
            letter.mrr,
            has_left=letter.churn_date is not None,
            is_signup=is_signup,
            stated=stated(letter.topic, record) if is_signup else None,
        ),
        redriven_to=letter.redriven_to,
        redrive_outcome=letter.redrive_outcome,
        discarded_because=letter.discarded_because,
    )


def _positions(view: StoreView, _: Settings, __: NoParameters) -> list[tuple[str, int, int]]:
    return [(*partition, offset) for partition, offset in view.positions().items()]


def _letters(view: StoreView, settings: Settings, filters: Filters) -> LettersAnswer:
    return LettersAnswer(described(view, settings, filters), _positions(view, settings, NoParameters()))


def _records(view: StoreView, _: Settings, rows: LetterRecordsQuery) -> list[LetterRecord]:
    return [_answered(record) for record in view.letter_records(rows.seqs, up_to_bytes=BYTES_AT_ONCE)]


def _answered(record: StoredRecord) -> LetterRecord:
    headers = [(name.encode(errors="surrogateescape"), text) for name, text in record.headers]
    return LetterRecord(record.seq, record.partition, record.key, record.value, headers)


LETTERS = Query("dead-letters", Filters, LettersAnswer, _letters)
LETTER_RECORDS = Query("dead-letter-records", LetterRecordsQuery, list[LetterRecord], _records)
POSITIONS = Query("positions", NoParameters, list[tuple[str, int, int]], _positions)
