"""A log is identified by its topic id and a fingerprint of the last record read."""

from __future__ import annotations

from uuid import UUID

import pytest

from worker.messages.log_identity import LogIdentity, RecordMark, difference, mark_of
from worker.messages.record import PlainRecord

ID, OTHER_ID = UUID(int=1), UUID(int=2)
LAST = RecordMark(9, 1234)


def record(
    *, offset: int = 9, timestamp: int = 5, key: bytes | None = b"key", value: bytes | None = b"value"
) -> PlainRecord:
    return PlainRecord("topic", 0, offset, timestamp, key, value, [])


def test_equal_records_have_equal_fingerprints() -> None:
    assert mark_of(record()) == mark_of(record())
    assert mark_of(record()).offset == 9


@pytest.mark.parametrize(
    "other",
    [
        record(offset=10),
        record(timestamp=6),
        record(key=b"kez"),
        record(key=None),
        record(key=b""),
        record(value=b"valuf"),
        record(value=None),
        record(value=b""),
        record(key=b"keyv", value=b"alue"),
    ],
)
def test_different_records_have_different_fingerprints(other: PlainRecord) -> None:
    assert mark_of(other) != mark_of(record())


def test_an_absent_key_differs_from_an_absent_value() -> None:
    assert mark_of(record(key=None, value=b"a")) != mark_of(record(key=b"a", value=None))


def test_a_fingerprint_is_a_signed_64_bit_integer() -> None:
    marks = [mark_of(record(value=b"%d" % number)).fingerprint for number in range(200)]
    assert min(marks) < 0 < max(marks)
    assert all(-(2**63) <= mark < 2**63 for mark in marks)


@pytest.mark.parametrize(
    ("stored", "topic_id", "found"),
    [
        (LogIdentity(ID, LAST), ID, LAST),
        (LogIdentity(ID, LAST), ID, None),
        (LogIdentity(ID, LAST), None, LAST),
        (LogIdentity(None, LAST), ID, LAST),
        (LogIdentity(ID, None), ID, LAST),
        (LogIdentity(), ID, LAST),
    ],
)
def test_same_log_or_unknown_shows_no_difference(
    stored: LogIdentity, topic_id: UUID | None, found: RecordMark | None
) -> None:
    assert difference(stored, topic_id, found) is None


def test_another_topic_id_is_a_difference() -> None:
    assert "deleted and created again" in str(difference(LogIdentity(ID, LAST), OTHER_ID, LAST))


def test_another_last_record_is_a_difference() -> None:
    found = difference(LogIdentity(ID, LAST), ID, RecordMark(9, 4321))
    assert "the record at offset 9 is another one" in str(found)
