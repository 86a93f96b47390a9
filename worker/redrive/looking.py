"""Dead letters as they are now: by what the store has read, and by what waits on the topics to be read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256
from typing import Protocol

import msgspec

from worker.errors import Exit, Refusal
from worker.messages.record import TopicPartition
from worker.queries.dead_letters import LettersAnswer
from worker.redrive.unread import Progress, unread_redrives
from worker.settings import Settings
from worker.stores.dead_letters import Filters, Letter, LetterRecord, State

RECORDS_AT_ONCE = 500


class DeadLetterSource(Protocol):
    """The store, or the running worker that has it."""

    async def letters(self, filters: Filters) -> LettersAnswer:
        """The letters that are meant."""

    async def records(self, seqs: Sequence[int]) -> list[LetterRecord]:
        """Their records, complete and in order: as many as are not too much at once, and one at least."""

    async def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset of each input partition."""


async def look(
    settings: Settings,
    asked: DeadLetterSource,
    filters: Filters,
    *,
    at_most: int | None = None,
    progress: Progress | None = None,
) -> tuple[list[Letter], str]:
    """The letters that are meant; of those open, the ones sent already and not read yet are redriven.

    With `at_most`, more unread offsets than that are not looked through, nor is a Kafka that cannot be read an error:
    then there is a sentence that says so, else an empty one. Without it, raises `Refusal`.
    """
    answer = await asked.letters(filters)
    topics = sorted({letter.topic for letter in answer.letters if letter.state is State.OPEN})
    if not topics:
        return answer.letters, ""
    try:
        unread = await unread_redrives(
            settings.kafka, topics, answer.next_offsets(), at_most=at_most, progress=progress
        )
    except Refusal as refusal:
        if at_most is None:
            raise
        return answer.letters, f"letters shown as open may be redriven and not read yet: {refusal}"
    if unread.letters is None:
        return answer.letters, (
            f"letters shown as open may be redriven and not read yet: the worker has {unread.offsets:,} records to "
            "read, which were not looked through"
        )
    claimed = [each for each in answer.letters if each.state is State.OPEN and each.id in unread.letters]
    sent = {
        letter.id
        async for letter, record in records_of(asked, claimed)
        if sha256(record.value or b"").hexdigest() in unread.letters[letter.id]  # anybody can claim to be one
    }
    return [_redriven(each) if each.id in sent else each for each in answer.letters], ""


def _redriven(letter: Letter) -> Letter:
    return msgspec.structs.replace(letter, state=State.REDRIVEN)


async def records_of(asked: DeadLetterSource, letters: Sequence[Letter]) -> AsyncIterator[tuple[Letter, LetterRecord]]:
    """The letters with their records, in order. Raises `Refusal` where the store has become another one meanwhile."""
    done = 0
    while part := letters[done : done + RECORDS_AT_ONCE]:
        records = await asked.records([letter.seq for letter in part])
        if not records or [record.seq for record in records] != [letter.seq for letter in part[: len(records)]]:
            raise Refusal("the store was replaced while it was read: run this again", Exit.UNREACHABLE)
        for letter, record in zip(part, records, strict=False):  # which are fewer where their values are large
            yield letter, record
        done += len(records)
