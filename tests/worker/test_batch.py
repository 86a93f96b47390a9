"""The outcome of each record, in the store and the outbox: every row of the contract's table."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date

import pytest

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    EVE,
    MAX_BYTES,
    SIGNUPS,
    STRUCTURED_TYPE,
    apply,
    batch_path,
    cancellation,
    cancellation_value,
    decoded,
    record,
    signup,
    signup_value,
    structured_value,
)
from tests.support.published import listed
from worker.messages.churned_event import churned_id
from worker.messages.record import PlainRecord
from worker.processing.unit_of_work import UnitOfWork
from worker.stores.changes import JournalRow
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore
from worker.stores.errors import StoreError

Row = tuple[str, int, str | None]
"""A line of the journal: outcome, offset, reason."""


def journal(store: DuckDBStore, topic: str) -> list[Row]:
    query = 'SELECT outcome, "offset", reason FROM journal WHERE topic = ? ORDER BY "offset", outcome DESC'
    return store._db.execute(query, [topic]).fetchall()


def published(store: DuckDBStore) -> list[str]:
    return [message.id for message in store.pending(0, 1000).messages]


def letters(store: DuckDBStore) -> list[tuple[str, str]]:
    """Offset and reason of each dead letter, in order."""
    found = []
    for message in store.pending(0, 1000).messages:
        headers = {name: value.decode() for name, value in message.headers if value and name.startswith("__dlq")}
        if headers:
            found.append((headers["__dlq.errors.offset"], headers["__dlq.errors.reason"]))
    return found


def churn_dates(store: DuckDBStore, *who: str) -> dict[str, date | None]:
    return {found.customer_id: found.churn_date for found in store.customers(who or (ADA, BOB, EVE))}


# Each row of the table


def test_a_first_signup_is_applied(store: DuckDBStore) -> None:
    result = apply(store, [signup(0)])
    assert result.outcomes == {"applied": 1}
    assert churn_dates(store) == {ADA: None}
    assert published(store) == []
    assert journal(store, SIGNUPS) == [("applied", 0, None)]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_the_same_signup_again_is_a_duplicate(store: DuckDBStore, together: bool) -> None:
    take(store, [signup(0), signup(1, industry='"FINTECH"', mrr="499")], together)
    assert churn_dates(store) == {ADA: None}
    assert published(store) == []
    assert journal(store, SIGNUPS) == [("applied", 0, None), ("duplicate", 1, None)]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_different_signup_becomes_a_dead_letter(store: DuckDBStore, together: bool) -> None:
    take(store, [signup(0), signup(1, plan_tier='"free"')], together)
    assert letters(store) == [("1", "signup_conflict")]
    assert journal(store, SIGNUPS) == [("applied", 0, None), ("rejected", 1, "signup_conflict")]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_cancellation_of_an_active_customer_is_published_once(store: DuckDBStore, together: bool) -> None:
    take(store, [signup(0), cancellation(0, reason='"moved"')], together)
    assert churn_dates(store) == {ADA: date(2026, 6, 30)}
    assert published(store) == [churned_id(ADA)]
    (message,) = store.pending(0, 10).messages
    assert message.customer_id == ADA
    said = json.loads(message.value or b"")
    assert (said["churn_date"], said["tenure_days"], said["reason"]) == ("2026-06-30", 166, "moved")
    assert journal(store, CANCELLATIONS) == [("applied", 0, None)]
    events = store._db.execute("SELECT CAST(event_id AS VARCHAR) FROM journal ORDER BY topic").fetchall()
    assert events == [(churned_id(ADA),), (None,)]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_the_same_date_again_is_a_duplicate(store: DuckDBStore, together: bool) -> None:
    take(store, [signup(0), cancellation(0), cancellation(1, reason='"other"')], together)
    assert published(store) == [churned_id(ADA)]
    assert journal(store, CANCELLATIONS) == [("applied", 0, None), ("duplicate", 1, None)]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_another_date_once_churned_becomes_a_dead_letter(store: DuckDBStore, together: bool) -> None:
    take(store, [signup(0), cancellation(0), cancellation(1, ADA, "2026-07-01")], together)
    assert churn_dates(store) == {ADA: date(2026, 6, 30)}
    assert letters(store) == [("1", "already_churned")]
    assert journal(store, CANCELLATIONS) == [("applied", 0, None), ("rejected", 1, "already_churned")]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_churn_before_signup_becomes_a_dead_letter(store: DuckDBStore, together: bool) -> None:
    take(store, [signup(0), cancellation(0, ADA, "2026-01-14"), cancellation(1)], together)
    assert churn_dates(store) == {ADA: date(2026, 6, 30)}
    assert letters(store) == [("0", "churn_before_signup")]
    assert journal(store, CANCELLATIONS) == [("rejected", 0, "churn_before_signup"), ("applied", 1, None)]


def test_a_cancellation_of_an_unknown_customer_is_parked(store: DuckDBStore) -> None:
    result = apply(store, [cancellation(0)])
    assert result.outcomes == {"parked": 1}
    assert churn_dates(store) == {}
    assert published(store) == []
    assert journal(store, CANCELLATIONS) == [("parked", 0, None)]
    assert [each.record for each in store.parked([ADA])] == [cancellation(0)]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_parked_cancellations_are_applied_in_order_on_signup(store: DuckDBStore, together: bool) -> None:
    early = [
        cancellation(0, ADA, "2026-01-14"),
        cancellation(1, BOB),
        cancellation(2),
        cancellation(3, ADA, "2026-06-30", reason='"later"'),
        cancellation(4, ADA, "2026-08-01"),
    ]
    take(store, [*early, signup(0)], together)
    assert churn_dates(store) == {ADA: date(2026, 6, 30)}
    assert published(store)[1] == churned_id(ADA)
    assert letters(store) == [("0", "churn_before_signup"), ("4", "already_churned")]
    assert journal(store, CANCELLATIONS) == [
        ("rejected", 0, "churn_before_signup"), ("parked", 0, None), ("parked", 1, None),
        ("parked", 2, None), ("applied", 2, None), ("parked", 3, None), ("duplicate", 3, None),
        ("rejected", 4, "already_churned"), ("parked", 4, None),
    ]  # fmt: skip
    assert [each.record.offset for each in store.parked([ADA, BOB])] == [1]
    assert store.positions() == {(SIGNUPS, 0): 1, (CANCELLATIONS, 0): 5}


def test_parked_records_of_the_store_precede_the_batch(store: DuckDBStore) -> None:
    apply(store, [cancellation(0, ADA, "2026-06-30")])
    apply(store, [cancellation(1, ADA, "2026-07-01"), signup(0), cancellation(2, ADA, "2026-08-01")])
    assert churn_dates(store) == {ADA: date(2026, 6, 30)}
    assert letters(store) == [("1", "already_churned"), ("2", "already_churned")]


def test_churn_has_its_parked_cancellation_as_cause(store: DuckDBStore) -> None:
    early = record(cancellation_value(), CANCELLATIONS, 7, partition=3, timestamp=0, headers=[("traceparent", b"00-x")])
    apply(store, [early])
    apply(store, [signup(0)])
    (message,) = store.pending(0, 10).messages
    headers = dict(listed(message.encoded_headers))
    assert headers["ce_causationid"] == b"customer.cancellation/3/7"
    assert headers["ce_time"] == b"1970-01-01T00:00:00.000Z"
    assert headers["traceparent"] == b"00-x"


def test_structured_cancellation_is_parked_and_applied(store: DuckDBStore) -> None:
    value = structured_value(cancellation_value(), id='"evt-7"')
    apply(store, [record(value, CANCELLATIONS, headers=STRUCTURED_TYPE)])
    apply(store, [record(structured_value(signup_value()), SIGNUPS, headers=STRUCTURED_TYPE)])
    (message,) = store.pending(0, 10).messages
    assert dict(listed(message.encoded_headers))["ce_causationid"] == b"evt-7"


BAD: dict[str, tuple[bytes | None, str]] = {
    "a tombstone": (None, "empty"),
    "too large": (b" " * (MAX_BYTES + 1), "too_large"),
    "not JSON": (b"{", "malformed"),
    "not UTF-8": (b"\xff", "malformed"),
    "NaN": (signup_value(mrr="NaN"), "malformed"),
    "not an object": (b"[]", "malformed"),
    "nested too deep": (b"[" * 30_000 + b"]" * 30_000, "malformed"),
    "a field missing": (signup_value(mrr=None), "invalid"),
    "a field refused": (signup_value(mrr='"-1"'), "invalid"),
    "another currency": (signup_value(mrr='{"amount": "1", "currency": "EUR"}'), "unsupported_currency"),
    "an unknown tier": (signup_value(plan_tier='"platinum"'), "unknown_plan_tier"),
}


@pytest.mark.parametrize(("value", "reason"), BAD.values(), ids=BAD)
def test_bad_record_becomes_a_dead_letter_byte_for_byte(store: DuckDBStore, value: bytes | None, reason: str) -> None:
    bad = record(value, SIGNUPS, 5, partition=2, key=b"\xff", headers=[("x", b"1"), ("x", None), ("bad\udcff", b"")])
    result = apply(store, [bad])
    assert result.outcomes == {"rejected": 1}
    assert [(rejected.reason.value, where) for where, rejected in result.rejected] == [(reason, (SIGNUPS, 2, 5))]
    (letter,) = store.pending(0, 10).messages
    assert (letter.topic, letter.partition, letter.key, letter.value) == ("customer.signup-dlt", 2, b"\xff", value)
    assert letter.headers[:3] == list(bad.headers)
    assert journal(store, SIGNUPS) == [("rejected", 5, reason)]
    assert churn_dates(store) == {}
    assert store.positions() == {(SIGNUPS, 2): 6}


def test_incomplete_structured_event_becomes_a_dead_letter(store: DuckDBStore) -> None:
    value = structured_value(signup_value(), id=None)
    apply(store, [record(value, SIGNUPS, headers=STRUCTURED_TYPE)])
    assert letters(store) == [("0", "malformed")]


def test_rejection_has_its_readable_customer_in_the_journal(store: DuckDBStore) -> None:
    apply(store, [signup(0, industry="1"), record(b"{", SIGNUPS, 1), signup(2, BOB.upper(), mrr="-1")])
    rows = store._db.execute('SELECT CAST(customer_id AS VARCHAR) FROM journal ORDER BY "offset"').fetchall()
    assert rows == [(ADA,), (None,), (BOB,)]


# Around them


def test_one_bad_record_does_not_affect_others(store: DuckDBStore) -> None:
    many = [signup(number, f"00000000-0000-4000-8000-{number:012}") for number in range(2001)]
    many[1000] = record(b"\xff", SIGNUPS, 1000)
    result = apply(store, many)
    assert result.outcomes == {"applied": 2000, "rejected": 1}
    assert len(list(store.active_customers())) == 2000
    assert letters(store) == [("1000", "malformed")]
    assert store.positions() == {(SIGNUPS, 0): 2001}


def test_bad_records_of_a_batch_do_not_affect_good_ones(store: DuckDBStore) -> None:
    bad = [record(value, SIGNUPS, number + 1) for number, (value, _) in enumerate(BAD.values())]
    result = apply(store, [signup(0), *bad, signup(len(bad) + 1, BOB), cancellation(0), cancellation(1, BOB)])
    assert result.outcomes == {"applied": 4, "rejected": len(BAD)}
    assert [reason for _, reason in letters(store)] == [reason for _, reason in BAD.values()]
    assert churn_dates(store) == {ADA: date(2026, 6, 30), BOB: date(2026, 6, 30)}


def test_messages_are_published_in_the_order_of_decision(store: DuckDBStore) -> None:
    apply(store, [signup(0), signup(1, BOB), signup(2, EVE)])
    apply(store, [cancellation(0, EVE), record(b"", CANCELLATIONS, 1), cancellation(2, ADA), cancellation(3, BOB)])
    expected = [churned_id(EVE), "customer.cancellation/0/1@1782820800000", churned_id(ADA), churned_id(BOB)]
    assert published(store) == expected


def test_an_unknown_industry_is_counted(store: DuckDBStore) -> None:
    result = apply(store, [signup(0, industry='"SpaceTech"'), signup(1, BOB, industry='"Other"')])
    assert result.unknown_industries == 1


def test_an_empty_batch_changes_nothing(store: DuckDBStore) -> None:
    assert apply(store, []).outcomes == {}
    assert store.positions() == {}


def test_batch_that_failed_to_commit_is_applied_again(store: DuckDBStore) -> None:
    records = [signup(0), cancellation(0), record(b"", SIGNUPS, 1)]
    with UnitOfWork(store) as work:
        batch_path().apply(decoded(*records), work)
        work.journal.append(JournalRow(SIGNUPS, 0, 2, "no uuid", "applied", None))
        with pytest.raises(StoreError):
            work.commit()
    assert published(store) == []
    assert apply(store, records).outcomes == {"applied": 2, "rejected": 1}
    assert published(store) == [churned_id(ADA), "customer.signup/0/1@1782820800000"]


# Replays


def test_reread_records_have_no_effect(store: DuckDBStore) -> None:
    records = [
        cancellation(0, ADA, "2026-01-14"), cancellation(1), cancellation(2), cancellation(3, ADA, "2026-07-01"),
        cancellation(4, EVE), record(None, CANCELLATIONS, 5), signup(0), signup(1), signup(2, plan_tier='"free"'),
        record(b"{", SIGNUPS, 3), signup(4, BOB),
    ]  # fmt: skip
    apply(store, records)
    before = (journal(store, SIGNUPS), journal(store, CANCELLATIONS), published(store), churn_dates(store))
    result = apply(store, records)
    assert result.replayed == len(records)
    assert (journal(store, SIGNUPS), journal(store, CANCELLATIONS), published(store), churn_dates(store)) == before
    assert [each.record.offset for each in store.parked([EVE])] == [4]
    assert store.positions() == {(SIGNUPS, 0): 5, (CANCELLATIONS, 0): 6}


def test_reread_batch_with_new_records_publishes_only_new_ones(store: DuckDBStore) -> None:
    apply(store, [record(b"", SIGNUPS, 0), signup(1)])
    result = apply(store, [record(b"", SIGNUPS, 0), signup(1), record(b"", SIGNUPS, 2)])
    assert (result.replayed, letters(store)) == (2, [("0", "malformed"), ("2", "malformed")])
    assert store.positions() == {(SIGNUPS, 0): 3}


def test_skipped_records_are_decided_once_after_a_rewind(store: DuckDBStore) -> None:
    skipped = [record(b"", SIGNUPS, 1), signup(2), signup(3, EVE), record(b"{", SIGNUPS, 4)]
    apply(store, [signup(0)])
    apply(store, [signup(5, BOB)])  # an operator moved the group forward
    result = apply(store, [signup(0), *skipped, signup(5, BOB)])
    assert result.outcomes == {"rejected": 2, "duplicate": 1, "applied": 1}
    decided = journal(store, SIGNUPS)
    assert sorted(offset for _, offset, _ in decided) == [0, 1, 2, 3, 4, 5]
    assert letters(store) == [("1", "malformed"), ("4", "malformed")]
    for portion in ([signup(0), *skipped, signup(5, BOB)], skipped, skipped[:1], skipped[3:]):
        assert apply(store, portion).outcomes == {}
    assert (journal(store, SIGNUPS), len(letters(store))) == (decided, 2)
    assert store.positions() == {(SIGNUPS, 0): 6}


def test_skipped_records_are_kept_per_partition(store: DuckDBStore) -> None:
    apply(store, [record(b"", SIGNUPS, 1, partition=1), record(b"", CANCELLATIONS, 1)])
    apply(store, [record(b"", SIGNUPS, 2)])
    assert apply(store, [record(b"", SIGNUPS, 1, partition=1)]).outcomes == {}
    assert apply(store, [record(b"", SIGNUPS, 1)]).outcomes == {"rejected": 1}


def test_parked_record_reread_with_its_signup_is_applied_once(store: DuckDBStore) -> None:
    apply(store, [cancellation(0)])
    apply(store, [cancellation(0), signup(0), cancellation(0)])
    assert published(store) == [churned_id(ADA)]
    assert journal(store, CANCELLATIONS) == [("parked", 0, None), ("applied", 0, None)]
    assert list(store.parked([ADA])) == []


def test_rejected_parked_record_is_a_dead_letter_on_a_reread(store: DuckDBStore) -> None:
    # The positions were set forward past the signup, by an operator's decision, and then back.
    store.forget_position((SIGNUPS, 0), 10)
    apply(store, [cancellation(0, ADA, "2026-01-14"), cancellation(1)])
    result = apply(store, [signup(0)])
    assert result.replayed == 1
    assert published(store) == ["customer.cancellation/0/0@1782820800000", churned_id(ADA)]
    assert journal(store, SIGNUPS) == [("applied", 0, None)]


def test_partitions_are_reread_independently(store: DuckDBStore) -> None:
    apply(store, [record(b"", SIGNUPS, 5, partition=1)])
    result = apply(store, [record(b"", SIGNUPS, 5, partition=0), record(b"", CANCELLATIONS, 5, partition=1)])
    assert (result.replayed, result.outcomes) == (0, {"rejected": 2})


def test_partitions_of_a_batch_are_reread_independently(store: DuckDBStore) -> None:
    apply(store, [record(b"", SIGNUPS, 5, partition=1)])
    mixed = [
        record(b"", SIGNUPS, offset, partition=partition) for offset, partition in [(5, 1), (0, 0), (5, 1), (1, 0)]
    ]
    result = apply(store, [*mixed, record(b"", SIGNUPS, 6, partition=1)])
    assert (result.replayed, result.outcomes) == (2, {"rejected": 3})
    assert letters(store) == [("5", "malformed"), ("0", "malformed"), ("1", "malformed"), ("6", "malformed")]


def test_rebuilt_store_publishes_nothing_twice(store: DuckDBStore) -> None:
    records = [
        cancellation(0), signup(0), signup(1, mrr="1"), record(b"", SIGNUPS, 2), signup(3, BOB), cancellation(1, BOB),
    ]  # fmt: skip
    apply(store, records)
    ids = published(store)
    rebuilt = DuckDBStore(MEMORY)
    rebuilt.keep_receipts(ids, {})
    for each in records:
        apply(rebuilt, [each])
    assert published(rebuilt) == []
    assert rebuilt.pending(0, 10).last_seq == len(ids) == 4
    assert churn_dates(rebuilt) == churn_dates(store)
    rebuilt.close()


def take(store: DuckDBStore, records: list[PlainRecord], together: bool) -> Counter[str]:
    batches: Iterable[list[PlainRecord]] = [records] if together else [[each] for each in records]
    total: Counter[str] = Counter()
    for batch in batches:
        total += apply(store, batch).outcomes
    return total
