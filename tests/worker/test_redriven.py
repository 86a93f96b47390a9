"""Redriven records are recognised by their headers; forged headers have no effect."""

import pytest

from tests.support.builders import ADA, BOB, CANCELLATIONS, SIGNUPS, apply, composer, record, signup, signup_value
from worker.messages.outgoing import Outgoing
from worker.messages.record import Header, PlainRecord
from worker.messages.redrive_headers import claims_to_be_redriven, redriven, redriven_letter
from worker.messages.rejection import Reason, Rejected
from worker.stores.duckdb.store import DuckDBStore

RECEIVED = record(
    b'{"plan_tier": "platinum"}',
    SIGNUPS,
    17,
    partition=3,
    key=b"k",
    headers=[("x", b"1"), ("x", None), ("bad\udcff", b"")],
)
LETTER = composer().dead_letter(RECEIVED, Rejected(Reason.UNKNOWN_PLAN_TIER, "no such tier"))
COUNT = "__dlq.errors.redrive.count"


def read_again(letter: Outgoing, offset: int = 99) -> PlainRecord:
    """Return the record that a redrive of the letter puts on its topic."""
    sent = redriven(letter, SIGNUPS)
    return record(sent.value, sent.topic, offset, partition=3, key=sent.key, headers=sent.headers)


def redrives(store: DuckDBStore) -> list[tuple[str, int, int]]:
    return store._db.execute('SELECT dead_letter_id, partition, "offset" FROM redrives').fetchall()


def test_redrive_restores_the_record_and_increments_the_count() -> None:
    sent = redriven(LETTER, SIGNUPS)
    assert (sent.topic, sent.partition, sent.key, sent.value) == (SIGNUPS, 3, b"k", RECEIVED.value)
    assert sent.headers[:3] == list(RECEIVED.headers)
    assert [name for name, _ in sent.headers].count(COUNT) == 1
    assert sent.headers[-1] == (COUNT, b"1")
    assert ("__dlq.errors.reason", b"unknown_plan_tier") in sent.headers


def test_redriven_record_has_the_id_of_its_dead_letter() -> None:
    assert redriven_letter(read_again(LETTER)) == LETTER.id == f"{SIGNUPS}/3/17@{RECEIVED.timestamp}"
    assert redriven_letter(RECEIVED) is None


def test_a_record_without_a_timestamp_can_be_redriven() -> None:
    letter = composer().dead_letter(record(b"", SIGNUPS, 1, timestamp=-1), Rejected(Reason.MALFORMED, "no JSON"))
    assert redriven_letter(read_again(letter)) == letter.id == f"{SIGNUPS}/0/1@-1"


def test_rejected_redrive_has_one_set_of_headers(store: DuckDBStore) -> None:
    apply(store, [read_again(LETTER)])
    (again,) = store.pending(0, 10).messages
    names = [name for name, _ in again.headers]
    assert len(names) == len(set(names)) + 1  # of x there were two
    assert again.headers[-1] == (COUNT, b"1")
    assert redriven(again, SIGNUPS).headers[-1] == (COUNT, b"2")
    assert redrives(store) == [(LETTER.id, 3, 99)]


def forged(**said: bytes | None) -> PlainRecord:
    """Return a redriven record with some of its headers made up; None leaves one out."""
    usual: dict[str, bytes | None] = {
        "topic": SIGNUPS.encode(), "partition": b"3", "offset": b"17", "timestamp": b"5", "redrive.count": b"1",
    }  # fmt: skip
    named = {name.replace("_", "."): value for name, value in said.items()}
    headers: list[Header] = [(f"__dlq.errors.{name}", value) for name, value in (usual | named).items()]
    return record(signup_value(), SIGNUPS, 5, headers=[each for each in headers if each[1] is not None])


BARE: list[Header] = [(COUNT, None)]
UNREADABLE: list[Header] = [(COUNT, b"\xff"), (COUNT, b"\xff")]
FORGED: dict[str, PlainRecord] = {
    "no topic": forged(topic=None),
    "no partition": forged(partition=None),
    "no offset": forged(offset=None),
    "no timestamp": forged(timestamp=None),
    "a topic that is no text": forged(topic=b"\xff"),
    "another topic": forged(topic=CANCELLATIONS.encode()),
    "a long topic": forged(topic=b"x" * 900_000),
    "a partition in words": forged(partition=b"three"),
    "an empty partition": forged(partition=b""),
    "a huge offset": forged(offset=b"9" * 40),
    "an offset as Python writes it": forged(offset=b"1_0"),
    "an offset with two signs": forged(offset=b"--1"),
    "an offset and a space": forged(offset=b"1 "),
    "a timestamp in Arabic digits": forged(timestamp=b"\xd9\xa3"),
    "nothing but an empty count": record(signup_value(), SIGNUPS, 5, headers=BARE),
    "nothing but garbage": record(signup_value(), SIGNUPS, 5, headers=UNREADABLE),
}


@pytest.mark.parametrize("said", FORGED)
def test_headers_without_a_dead_letter_change_nothing(store: DuckDBStore, said: str) -> None:
    assert claims_to_be_redriven(FORGED[said])
    assert apply(store, [FORGED[said]]).outcomes == {"applied": 1}
    assert redrives(store) == []


@pytest.mark.parametrize("count", [b"", b"-1", b"\xff", b"9" * 5_000])
def test_redrive_with_any_count_is_accepted(store: DuckDBStore, count: bytes) -> None:
    assert apply(store, [forged(redrive_count=count)]).outcomes == {"applied": 1}
    assert redrives(store) == [(f"{SIGNUPS}/3/17@5", 0, 5)]


def test_redrive_header_in_another_place_is_ignored(store: DuckDBStore) -> None:
    moved = forged()
    apply(store, [record(moved.value, SIGNUPS, 5, headers=[*moved.headers, ("x", b"y")])])
    assert redrives(store) == []


def test_reread_redrive_is_stored_once(store: DuckDBStore) -> None:
    again = read_again(LETTER, 5)
    apply(store, [again, signup(6, BOB)])
    apply(store, [again, signup(6, BOB), signup(7, ADA)])
    assert redrives(store) == [(LETTER.id, 3, 5)]
