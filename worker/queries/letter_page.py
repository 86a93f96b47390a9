"""Dead letters by reason and sender, and one page of them, for the operations page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from worker.queries.dead_letters import described
from worker.queries.query import Query
from worker.settings import Settings
from worker.stores.arr_at_stake import BYTES_AT_ONCE
from worker.stores.dead_letters import Filters, Letter, LetterRecord, total
from worker.stores.reading import StoreView

MOST_LETTERS = 10_000
"""Letters that are read for one page, at most: the newest ones."""
MOST_GROUPS = 100
MOST_WITH_ONE_ID = 10


class LetterPageQuery(msgspec.Struct, frozen=True):
    """Selection of a page: the letters from `begin` on, newest first, at most `limit`."""

    filters: Filters
    begin: int
    limit: int


class LetterGroup(msgspec.Struct, frozen=True):
    """The letters of one source topic with the same reason and sender. `unknown` have no known ARR at stake.

    `first` and `last` are the times of the first and the last refusal.
    """

    topic: str
    reason: str
    sender: str | None
    letters: int
    arr_at_stake: Decimal
    unknown: int
    first: datetime
    last: datetime


class LetterPage(msgspec.Struct, frozen=True):
    """The groups with the most ARR at stake, the letters of the page, and the totals of all that were selected.

    `is_complete` is False if there are more letters than `MOST_LETTERS`: then the older ones are left out.
    """

    groups: list[LetterGroup]
    letters: list[Letter]
    count: int
    arr_at_stake: Decimal
    is_complete: bool


class OneLetterQuery(msgspec.Struct, frozen=True):
    """Selection of a letter by its id."""

    id: str


class LetterWithRecord(msgspec.Struct, frozen=True):
    """A letter and its record as received."""

    letter: Letter
    record: LetterRecord


def _page(view: StoreView, settings: Settings, query: LetterPageQuery) -> LetterPage:
    newest = msgspec.structs.replace(query.filters, newest=MOST_LETTERS + 1)
    found = described(view, settings, newest)[::-1]
    letters = found[:MOST_LETTERS]
    return LetterPage(
        grouped_by_sender(letters)[:MOST_GROUPS],
        letters[query.begin : query.begin + query.limit],
        len(letters),
        total(letters),
        len(found) <= MOST_LETTERS,
    )


def grouped_by_sender(letters: Iterable[Letter]) -> list[LetterGroup]:
    """Group the letters by topic, reason and sender: those with the most ARR at stake first."""
    by: dict[tuple[str, str, str | None], list[Letter]] = defaultdict(list)
    for letter in letters:
        by[letter.topic, letter.reason, letter.sender].append(letter)
    groups = [_group(topic, reason, sender, those) for (topic, reason, sender), those in by.items()]
    return sorted(groups, key=lambda g: (-g.arr_at_stake, -g.letters, g.topic, g.reason, g.sender or ""))


def _group(topic: str, reason: str, sender: str | None, letters: Sequence[Letter]) -> LetterGroup:
    refused = [letter.refused_at for letter in letters]
    unknown = sum(letter.arr_at_stake is None for letter in letters)
    return LetterGroup(topic, reason, sender, len(letters), total(letters), unknown, min(refused), max(refused))


def _one(view: StoreView, settings: Settings, query: OneLetterQuery) -> list[LetterWithRecord]:
    """Return the letters with these coordinates, of which there are several if the topic was recreated."""
    letters = described(view, settings, Filters(ids=(query.id,), newest=MOST_WITH_ONE_ID))
    found = []
    for letter in letters:
        [record] = view.letter_records([letter.seq], up_to_bytes=BYTES_AT_ONCE)
        headers = [(name.encode(errors="surrogateescape"), text) for name, text in record.headers]
        found.append(
            LetterWithRecord(letter, LetterRecord(record.seq, record.partition, record.key, record.value, headers))
        )
    return found


LETTER_PAGE = Query("letter-page", LetterPageQuery, LetterPage, _page)
ONE_LETTER = Query("letter", OneLetterQuery, list[LetterWithRecord], _one)
