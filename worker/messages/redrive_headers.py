"""Headers of a redriven dead letter. They identify the letter, and the store keeps the relation."""

from __future__ import annotations

import re

from worker.messages.dead_letter import DEAD_LETTER_PREFIX, REDRIVE_COUNT, dead_letter_id, redrive_count
from worker.messages.outgoing import Outgoing
from worker.messages.record import Record, UnpackedRecord

_NUMBERS = [DEAD_LETTER_PREFIX + name for name in ("partition", "offset", "timestamp")]
_NUMBER = re.compile(rb"-?[0-9]{1,19}").fullmatch


def redriven(letter: Outgoing, source_topic: str) -> Outgoing:
    """Return the record that redrives a dead letter to its source partition: as received, with one more redrive."""
    headers = [header for header in letter.headers if header[0] != REDRIVE_COUNT]
    count = str(redrive_count(letter.headers) + 1).encode()
    return Outgoing(
        letter.id,
        source_topic,
        letter.partition,
        letter.key,
        letter.value,
        [*headers, (REDRIVE_COUNT, count)],
        letter.customer_id,
    )


def claims_to_be_redriven(record: UnpackedRecord) -> bool:
    """Return whether the last header is that of a redriven record. Called for every record, so it checks no other."""
    headers = record.headers
    return bool(headers) and headers[-1][0] == REDRIVE_COUNT


def redriven_letter(record: Record) -> str | None:
    """Return the id of the dead letter named by the headers; None if there is none, or it is of another topic."""
    if not claims_to_be_redriven(record):
        return None
    headers = dict(record.headers)
    if headers.get(f"{DEAD_LETTER_PREFIX}topic") != record.topic.encode():
        return None
    numbers = [headers.get(name) or b"" for name in _NUMBERS]
    if not all(map(_NUMBER, numbers)):
        return None
    return dead_letter_id(record.topic, *(int(number) for number in numbers))
