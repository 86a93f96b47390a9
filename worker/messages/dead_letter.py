"""Dead letters: their id and their `__dlq.errors.*` headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from worker import __version__
from worker.messages.record import Header, Record
from worker.messages.rejection import Rejected

DEAD_LETTER_PREFIX = "__dlq.errors."
REDRIVE_COUNT = f"{DEAD_LETTER_PREFIX}redrive.count"


def dead_letter_id(topic: str, partition: int | str, offset: int | str, timestamp: int | str) -> str:
    """Return a dead letter's id: the coordinates of its record, and the timestamp in case the topic is recreated."""
    return f"{topic}/{partition}/{offset}@{timestamp}"


def redrive_count(headers: Sequence[Header]) -> int:
    """Return the number of redrives from the last header of that name; 0 if it is missing or invalid."""
    count = dict(headers).get(REDRIVE_COUNT)
    return int(count) if count and count.isdigit() and len(count) < 10 else 0  # noqa: PLR2004


def dead_letter_headers(record: Record, rejected: Rejected, group_id: str) -> list[Header]:
    """Return the headers as received, and the error headers; those of an earlier dead letter are replaced."""
    received = [header for header in record.headers if not header[0].startswith(DEAD_LETTER_PREFIX)]
    return received + list(_error_headers(record, rejected, group_id))


def _error_headers(record: Record, rejected: Rejected, group_id: str) -> Iterator[Header]:
    values = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "group": group_id,
        "reason": rejected.reason.value,
        "message": rejected.message,
        "app.version": __version__,
        "redrive.count": redrive_count(record.headers),
    }
    for name, value in values.items():
        yield DEAD_LETTER_PREFIX + name, str(value).encode()
