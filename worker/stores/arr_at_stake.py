"""ARR at stake in unsettled dead letters: the total of `dead-letters list`, the metric and the operations page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TypeVar

from domain.customer import MRR
from worker.messages.cloudevents import source_of
from worker.messages.inbound import stated_mrr
from worker.messages.record import PlainRecord
from worker.settings import Settings, Topics
from worker.stores.dead_letters import StoredLetter, StoredRecord, WaitingLetter, arr_at_stake, total_of
from worker.stores.reading import AtStake, StoreView

L = TypeVar("L", StoredLetter, WaitingLetter)

RECORDS_AT_ONCE = 10_000
BYTES_AT_ONCE = 8 * 1024 * 1024


def sources(topics: Topics) -> dict[str, str]:
    """Return the source topic of each dead letter topic."""
    return {topic + topics.dead_letter_suffix: topic for topic in topics.inputs}


def with_records(store: StoreView, stored: Sequence[L], largest_value: int) -> Iterator[tuple[L, StoredRecord]]:
    """Yield the letters with their records, read in parts: together they can exceed the memory."""
    done = 0
    while part := stored[done : done + RECORDS_AT_ONCE]:
        seqs = [letter.seq for letter in part]
        records = store.letter_records(seqs, up_to_bytes=BYTES_AT_ONCE, largest_value=largest_value)
        yield from zip(part, records, strict=False)  # which are fewer where their values are large
        done += len(records)


def at_stake(store: StoreView, settings: Settings) -> AtStake:
    """Return the number of unsettled dead letters and their ARR at stake: the totals of `dead-letters list`."""
    letters = store.waiting_letters(sources(settings.topics))
    since = min((letter.refused_at for letter in letters), default=None)
    return AtStake(len(letters), total_of(_stakes(store, settings, letters)), since)


def _stakes(
    store: StoreView, settings: Settings, letters: Sequence[WaitingLetter]
) -> Iterator[tuple[str | None, Decimal | None]]:
    """Yield each letter's customer and ARR at stake. The record is read for signups only."""
    topic = settings.topics.signup
    signups = []
    for letter in letters:
        if letter.topic == topic and not letter.has_left:
            signups.append(letter)
        else:
            arr = arr_at_stake(letter.mrr, has_left=letter.has_left, is_signup=False, stated=None)
            yield letter.customer_id, arr
    for letter, record in with_records(store, signups, settings.batch.max_value_bytes):
        arr = arr_at_stake(letter.mrr, has_left=False, is_signup=True, stated=stated(topic, record))
        yield letter.customer_id, arr


def sender(topic: str, record: StoredRecord) -> str | None:
    """Read the CloudEvents source of a dead letter's record, None if it has none."""
    return source_of(_plain(topic, record))


def stated(topic: str, record: StoredRecord) -> MRR | None:
    """Read the MRR that a refused signup states, None if it cannot be read."""
    return stated_mrr(_plain(topic, record))


def _plain(topic: str, record: StoredRecord) -> PlainRecord:
    return PlainRecord(topic, record.partition, 0, -1, record.key, record.value, record.headers)
