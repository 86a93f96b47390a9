"""State and ARR at stake of dead letters."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.support.builders import (
    ADA,
    BOB,
    CANCELLATIONS,
    EVE,
    NOON_MS,
    SIGNUPS,
    STRUCTURED_TYPE,
    apply,
    cancellation,
    composer,
    record,
    signup,
    signup_value,
    structured_value,
)  # fmt: skip
from tests.worker.clock import NOON, Clock
from worker.messages.inbound import Decoder
from worker.messages.outgoing import Outgoing
from worker.messages.record import PlainRecord
from worker.messages.redrive_headers import redriven
from worker.processing.batch import BatchProcessor
from worker.processing.unit_of_work import UnitOfWork
from worker.queries.dead_letters import LETTER_RECORDS, LetterRecordsQuery, described
from worker.settings import Settings
from worker.stores.dead_letters import Filters, Group, Letter, State, StoredRecord, grouped, total, with_earlier
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore

PLATINUM = '"platinum"'


def letters(store: DuckDBStore, filters: Filters | None = None) -> list[Letter]:
    with store.view() as view:
        return described(view, Settings(), filters or Filters())


def records(store: DuckDBStore, *seqs: int, up_to_bytes: int, largest_value: int | None = None) -> list[StoredRecord]:
    with store.view() as view:
        return view.letter_records(seqs, up_to_bytes=up_to_bytes, largest_value=largest_value)


def offsets(store: DuckDBStore, **filters: object) -> list[int]:
    return [letter.offset for letter in letters(store, Filters(**filters))]  # type: ignore[arg-type]


def states(store: DuckDBStore) -> list[State]:
    return [letter.state for letter in letters(store)]


def the_letter(store: DuckDBStore, number: int = 0) -> Outgoing:
    return [message for message in store.pending(0, 1000).messages if message.topic.endswith("-dlt")][number]


def sent_again(store: DuckDBStore, offset: int, value: bytes | None = None, number: int = 0) -> PlainRecord:
    """Return the record of a redrive, or one that claims to be it and holds another value."""
    letter = the_letter(store, number)
    sent = redriven(letter, letter.topic.removesuffix("-dlt"))
    return record(value or sent.value, sent.topic, offset, headers=sent.headers)


def bad_deploy(store: DuckDBStore, records: Sequence[PlainRecord]) -> None:
    """Take the records with a worker whose limit is too low for any."""
    with UnitOfWork(store) as work:
        path = BatchProcessor(Decoder(SIGNUPS, 10), composer())
        path.apply(path.read(records), work)
        work.commit()


# What became of it


def test_rejected_record_is_an_open_dead_letter_with_details(store: DuckDBStore) -> None:
    apply(store, [signup(7, ADA, plan_tier=PLATINUM)])
    (letter,) = letters(store)
    assert letter == Letter(
        seq=1,
        id=f"{SIGNUPS}/0/7@{NOON_MS}",
        topic=SIGNUPS,
        partition=0,
        offset=7,
        sent_at_ms=NOON_MS,
        refused_at=NOON,
        reason="unknown_plan_tier",
        message="plan_tier is not one of free, starter, growth, enterprise, custom",
        redrives=0,
        state=State.OPEN,
        customer_id=ADA,
        arr_at_stake=Decimal("5988.00"),
    )
    assert letter.coordinates == f"{SIGNUPS}/0/7"


def test_rejected_redrive_opens_a_second_dead_letter(store: DuckDBStore) -> None:
    apply(store, [signup(0, ADA, plan_tier=PLATINUM)])
    apply(store, [sent_again(store, 1)])
    first, second = letters(store)
    assert (first.state, first.redriven_to, first.redrives) == (State.REFUSED_AGAIN, f"{SIGNUPS}/0/1", 0)
    assert (second.state, second.offset, second.redrives) == (State.OPEN, 1, 1)


@pytest.mark.parametrize("known", [False, True], ids=["applied", "a duplicate by now"])
def test_accepted_redrive_settles_the_dead_letter(store: DuckDBStore, known: bool) -> None:
    bad_deploy(store, [signup(0)])
    if known:
        apply(store, [signup(1)])
    apply(store, [sent_again(store, 2)])
    (letter,) = letters(store)
    assert (letter.state, letter.redrive_outcome) == (State.APPLIED, "duplicate" if known else "applied")


def test_parked_redrive_is_redriven_until_its_signup(store: DuckDBStore) -> None:
    bad_deploy(store, [cancellation(0)])
    apply(store, [sent_again(store, 1)])
    assert [(letter.state, letter.redrive_outcome) for letter in letters(store)] == [(State.REDRIVEN, "parked")]
    apply(store, [signup(0)])
    assert [(letter.state, letter.redrive_outcome) for letter in letters(store)] == [(State.APPLIED, "applied")]


def test_redrive_parked_and_then_rejected_is_shown(store: DuckDBStore) -> None:
    bad_deploy(store, [cancellation(0, ADA, "2026-01-01")])
    apply(store, [sent_again(store, 1)])
    apply(store, [signup(0)])
    assert states(store) == [State.REFUSED_AGAIN, State.OPEN]


def test_dead_letter_accepted_on_rereading_is_settled(store: DuckDBStore) -> None:
    bad_deploy(store, [signup(0)])
    apply(store, [signup(0)])
    assert states(store) == [State.APPLIED]


def test_discarded_dead_letter_keeps_its_reason(store: DuckDBStore) -> None:
    bad_deploy(store, [signup(0), signup(1, BOB)])
    store.discard([the_letter(store).id], "billing's own test")
    store.discard([the_letter(store).id], "and again")
    assert [(letter.state, letter.discarded_because) for letter in letters(store)] == [
        (State.DISCARDED, "and again"),
        (State.OPEN, None),
    ]


def test_a_discarded_record_is_left_alone_when_it_is_read_again(store: DuckDBStore) -> None:
    bad_deploy(store, [signup(0), signup(1, BOB)])
    store.discard([the_letter(store).id], "billing's own test")
    apply(store, [signup(0), signup(1, BOB)])
    assert states(store) == [State.DISCARDED, State.APPLIED]
    assert [customer.customer_id for customer in store.customers([ADA, BOB])] == [BOB]


def test_discard_covers_the_rejected_redrives_of_a_dead_letter(store: DuckDBStore) -> None:
    bad_deploy(store, [signup(0), signup(1, BOB)])
    bad_deploy(store, [sent_again(store, 2)])
    bad_deploy(store, [sent_again(store, 3, number=2)])
    first, bobs, second, third = letters(store)
    assert [letter.state for letter in (first, second, third)] == [State.REFUSED_AGAIN] * 2 + [State.OPEN]
    assert with_earlier([bobs, third], letters(store)) == [bobs, third, second, first]
    store.discard([letter.id for letter in with_earlier([third], letters(store))], "billing's own test")
    apply(store, [signup(0), signup(1, BOB), sent_again(store, 2), sent_again(store, 3, number=2)])
    assert states(store) == [State.REFUSED_AGAIN, State.APPLIED, State.REFUSED_AGAIN, State.DISCARDED]


def test_forged_redrive_headers_settle_no_dead_letter(store: DuckDBStore) -> None:
    bad_deploy(store, [signup(0)])
    apply(store, [sent_again(store, 1, signup_value(BOB))])
    assert states(store) == [State.OPEN]
    assert len(list(store.customers([BOB]))) == 1


def test_rebuilt_store_has_the_redrives(store: DuckDBStore) -> None:
    apply(store, [signup(0, ADA, plan_tier=PLATINUM)])
    again = sent_again(store, 1)
    rebuilt = DuckDBStore(MEMORY)
    apply(rebuilt, [signup(0, ADA, plan_tier=PLATINUM), again])
    assert states(rebuilt) == [State.REFUSED_AGAIN, State.OPEN]
    rebuilt.close()


# What is at stake


def stake(store: DuckDBStore, bad: PlainRecord, number: int = -1) -> Decimal | None:
    apply(store, [bad])
    return letters(store)[number].arr_at_stake


def dollars(text: str) -> Decimal:
    return Decimal(text)


def test_arr_at_stake_of_a_signup_is_its_own(store: DuckDBStore) -> None:
    assert stake(store, signup(0, ADA, plan_tier=PLATINUM, mrr="83.333333")) == dollars("1000.00")
    structured = structured_value(signup_value(BOB, plan_tier=PLATINUM))
    assert stake(store, record(structured, SIGNUPS, 1, headers=STRUCTURED_TYPE)) == dollars("5988.00")


UNREADABLE = {
    "no value": record(None),
    "no JSON": record(b"{"),
    "another currency": signup(0, ADA, mrr='{"amount": "1", "currency": "EUR"}'),
    "no amount": signup(0, ADA, plan_tier=PLATINUM, mrr=None),
    "a negative amount": signup(0, ADA, plan_tier=PLATINUM, mrr='"-1"'),
    "no envelope": record(structured_value(None), headers=STRUCTURED_TYPE),
    "nested too deep": record(b'{"mrr":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_arr_at_stake_of_an_unreadable_signup_is_unknown(store: DuckDBStore, what: str) -> None:
    assert stake(store, UNREADABLE[what]) is None


def test_arr_at_stake_of_a_conflict_is_the_difference(store: DuckDBStore) -> None:
    apply(store, [signup(0)])
    assert stake(store, signup(1, ADA, mrr="399")) == dollars("1200.00")
    assert stake(store, signup(2, ADA, mrr="599")) == dollars("1200.00")


def test_arr_at_stake_of_a_cancellation_is_the_customers(store: DuckDBStore) -> None:
    apply(store, [signup(0)])
    assert stake(store, cancellation(0, ADA, "2026-01-01")) == dollars("5988.00")
    assert stake(store, cancellation(1, ADA, "tomorrow")) == dollars("5988.00")


def test_arr_at_stake_of_a_churned_customer_is_zero(store: DuckDBStore) -> None:
    apply(store, [signup(0), cancellation(0)])
    assert stake(store, cancellation(1, ADA, "2026-07-01")) == dollars("0")
    assert stake(store, signup(1, ADA, mrr="1")) == dollars("0")


def test_arr_at_stake_of_an_unknown_customer_is_unknown(store: DuckDBStore) -> None:
    assert stake(store, cancellation(0, EVE, "tomorrow")) is None
    assert stake(store, record(b"{", CANCELLATIONS, 1)) is None


def test_arr_of_a_customer_counts_once_per_group_and_total(store: DuckDBStore) -> None:
    apply(store, [signup(0)])
    apply(store, [cancellation(offset, ADA, "2026-01-01") for offset in range(3)])
    apply(store, [cancellation(3, ADA, "tomorrow"), cancellation(4, EVE, "tomorrow")])
    apply(store, [signup(1, BOB, plan_tier=PLATINUM, mrr="10"), signup(2, BOB, plan_tier=PLATINUM, mrr="20")])
    assert grouped(letters(store)) == [
        Group(State.OPEN, "churn_before_signup", 3, dollars("5988.00"), 0),
        Group(State.OPEN, "invalid", 2, dollars("5988.00"), 1),
        Group(State.OPEN, "unknown_plan_tier", 2, dollars("240.00"), 0),
    ]
    assert total(letters(store)) == dollars("6228.00")


# Which are meant


def test_dead_letters_are_filtered(store: DuckDBStore, clock: Clock) -> None:
    apply(store, [signup(0, ADA, plan_tier=PLATINUM), signup(1, BOB, mrr="-1")])
    clock.now = NOON + timedelta(hours=1)
    apply(store, [cancellation(2, ADA, "tomorrow"), record(b"{", SIGNUPS, 3)])
    assert offsets(store) == [0, 1, 2, 3]
    assert offsets(store, topic=CANCELLATIONS) == [2]
    assert offsets(store, reason="invalid") == [1, 2]
    assert offsets(store, reason="invalid", topic=SIGNUPS) == [1]
    assert offsets(store, customer=ADA) == [0, 2]
    assert offsets(store, customer=EVE) == []
    assert offsets(store, refused_before=clock.now) == [0, 1]
    assert offsets(store, refused_since=clock.now) == [2, 3]
    assert offsets(store, ids=(f"{SIGNUPS}/0/3", f"{SIGNUPS}/0/0@{NOON_MS}")) == [0, 3]
    assert offsets(store, ids=(f"{SIGNUPS}/0/3@1",)) == []


def test_store_without_dead_letters_finds_none(store: DuckDBStore) -> None:
    apply(store, [signup(0), cancellation(0)])
    assert letters(store) == []
    assert grouped([]) == []
    assert total([]) == 0


def test_large_dead_letters_are_returned_complete(store: DuckDBStore) -> None:
    large = [record(b"{" + b"x" * 5_000_000, SIGNUPS, offset, key=b"%d" % offset) for offset in range(3)]
    apply(store, large)
    assert [letter.reason for letter in letters(store)] == ["too_large"] * 3
    seqs = [letter.seq for letter in letters(store)]
    found = records(store, *seqs, up_to_bytes=6_000_000)
    assert [(each.seq, each.key, each.value) for each in found] == [
        (n, large[n - 1].key, large[n - 1].value) for n in seqs[:2]
    ]
    without = records(store, *seqs, up_to_bytes=6_000_000, largest_value=1000)
    assert [(each.seq, each.value) for each in without] == [(seq, None) for seq in seqs]


def test_record_with_binary_headers_is_kept_byte_for_byte(store: DuckDBStore) -> None:
    headers = [("bad\udcff", b"\x00\xff"), ("x", None), ("x", b"")]
    apply(store, [record(b"\xff", SIGNUPS, 0, key=b"\x1b", headers=headers)])
    (found,) = records(store, 1, up_to_bytes=1)
    assert (found.key, found.value, found.headers[:3]) == (b"\x1b", b"\xff", headers)
    with store.view() as view:
        (answered,) = LETTER_RECORDS.run(view, Settings(), LetterRecordsQuery([1]))
    assert answered.headers[:2] == [(b"bad\xff", b"\x00\xff"), (b"x", None)]
    assert (answered.key, answered.value, answered.plain_headers()) == (b"\x1b", b"\xff", found.headers)


def test_dead_letters_with_large_headers_are_read_in_parts(store: DuckDBStore) -> None:
    apply(store, [record(None, SIGNUPS, offset, headers=[("x", b"y" * 1000)]) for offset in range(3)])
    seqs = [letter.seq for letter in letters(store)]
    assert [each.seq for each in records(store, *seqs, up_to_bytes=2000)] == seqs[:2]
    assert [each.seq for each in records(store, *seqs, up_to_bytes=1000)] == seqs[:1]
