"""Current state of dead letters: by the store, and by redriven records that the worker has not read yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256

import msgspec

from worker.errors import Exit, Refusal
from worker.queries.dead_letters import LettersAnswer
from worker.redrive.source import DeadLetterSource
from worker.redrive.unread import Progress, unread_redrives
from worker.settings import Settings
from worker.stores.dead_letters import Filters, Letter, LetterRecord, State, is_of

MAX_RECORDS_PER_QUERY = 500


async def find_dead_letters(
    settings: Settings,
    source: DeadLetterSource,
    filters: Filters,
    *,
    max_unread: int | None = None,
    progress: Progress | None = None,
) -> tuple[list[Letter], str]:
    """Find the selected letters. Open ones that were sent but not read yet have the state `redriven`.

    With `max_unread`, more unread offsets than that are not searched, and a failure to read Kafka is no error: then
    the returned note names it, else the note is empty. Without it, raises `Refusal` if Kafka cannot be read.
    """
    answer = await _letters(source, filters)
    topics = sorted({letter.topic for letter in answer.letters if letter.state is State.OPEN})
    if not topics:
        return answer.letters, ""
    try:
        unread = await unread_redrives(
            settings.kafka, topics, answer.next_offsets(), at_most=max_unread, progress=progress
        )
    except Refusal as refusal:
        if max_unread is None:
            raise
        return answer.letters, f"letters shown as open may be redriven and not read yet: {refusal}"
    if unread.letters is None:
        return answer.letters, (
            f"letters shown as open may be redriven and not read yet: the worker has {unread.offsets:,} records to "
            "read, which were not searched"
        )
    claimed = [each for each in answer.letters if each.state is State.OPEN and each.id in unread.letters]
    sent = {
        letter.id
        async for letter, record in read_records(source, claimed)
        if sha256(record.value or b"").hexdigest()
        in unread.letters[letter.id]  # any producer can set the headers of a redrive
    }
    return [_redriven(each) if each.id in sent else each for each in answer.letters], ""


async def _letters(source: DeadLetterSource, filters: Filters) -> LettersAnswer:
    answer = await source.letters(filters)
    # A running worker of an earlier version does not know this filter.
    return LettersAnswer([each for each in answer.letters if is_of(filters.sender, each)], answer.positions)


def _redriven(letter: Letter) -> Letter:
    return msgspec.structs.replace(letter, state=State.REDRIVEN)


async def read_records(
    source: DeadLetterSource, letters: Sequence[Letter]
) -> AsyncIterator[tuple[Letter, LetterRecord]]:
    """Yield the letters with their records, in order. Raises `Refusal` if the store was replaced meanwhile."""
    done = 0
    while part := letters[done : done + MAX_RECORDS_PER_QUERY]:
        records = await source.records([letter.seq for letter in part])
        if not records or [record.seq for record in records] != [letter.seq for letter in part[: len(records)]]:
            raise Refusal("the store was replaced while it was read. Run the command again", Exit.UNREACHABLE)
        for letter, record in zip(part, records, strict=False):  # fewer than asked for if values are large
            yield letter, record
        done += len(records)
