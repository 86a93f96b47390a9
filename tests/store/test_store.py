"""The guarantees of the port in `worker.stores.port`, for every database."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from domain.customer import MRR, Customer, Industry, PlanTier
from tests.support.builders import ADA, BOB, CANCELLATIONS, EVE, SIGNUPS, customer
from tests.support.changes import (
    EVENT,
    a_bit_of_everything,
    churned_event,
    details,
    event_of_bob,
    everything_in,
    ids,
    journal,
    outgoing,
    parked,
    prepare,
    waiting,
)
from tests.support.databases import Database
from worker.messages.outgoing import Outgoing
from worker.messages.record import PlainRecord
from worker.stores.changes import Changes, JournalRow, RecordCoordinates
from worker.stores.errors import StoreError
from worker.stores.port import Store

CHURN = date(2026, 6, 30)
NO_UUID = "not a uuid"


def pending_ids(store: Store, limit: int = 1000) -> list[str]:
    return ids(store.pending(store.published_seq, limit).messages)


# Decisions


def test_decided_records_are_those_in_the_journal(store: Store) -> None:
    store.commit(
        Changes(
            new_customers={BOB: customer(BOB)},
            signups={BOB: (SIGNUPS, 1, 2)},
            outbox=[event_of_bob()],
            journal=[
                JournalRow(SIGNUPS, 0, 1, None, "rejected", "malformed"),
                JournalRow(CANCELLATIONS, 0, 2, BOB, "parked"),
                JournalRow(CANCELLATIONS, 1, 1, BOB, "parked"),
            ],
        )
    )
    asked = [
        RecordCoordinates(topic, partition, offset)
        for topic in (SIGNUPS, CANCELLATIONS)
        for partition in (0, 1)
        for offset in (1, 2)
    ]
    assert store.decided(asked) == {(SIGNUPS, 0, 1), (SIGNUPS, 1, 2), (CANCELLATIONS, 0, 2), (CANCELLATIONS, 1, 1)}
    assert store.decided([]) == set()


# Customers


def test_a_new_store_is_empty(database: Database, store: Store) -> None:
    assert everything_in(database, store) == {
        "customers": [], "active": [], "parked": [], "positions": {}, "published": 0, "pending": (0, [], 0),
        "ends": {}, "journal": [], "abandoned": set(), "redrives": [], "discards": [],
    }  # fmt: skip


@pytest.mark.parametrize("churn_date", [None, CHURN], ids=["active", "churned"])
@pytest.mark.parametrize("amount", ["0", "499.00", "0.000001", "83.333333", "999999999999.999999"])
def test_customer_is_read_as_saved(store: Store, amount: str, churn_date: date | None) -> None:
    saved = Customer(ADA, Industry.HR_TECH, PlanTier.CUSTOM, date(1, 1, 1), MRR(Decimal(amount)), churn_date)
    store.commit(Changes(new_customers={ADA: saved}))
    (found,) = store.customers([ADA])
    assert (found.customer_id, found.industry, found.plan_tier) == (ADA, Industry.HR_TECH, PlanTier.CUSTOM)
    assert (found.signup_date, found.mrr, found.churn_date) == (date(1, 1, 1), MRR(Decimal(amount)), churn_date)


@pytest.mark.parametrize("asked", [1, 20, 21, 450])
def test_any_number_of_customers_is_found(store: Store, asked: int) -> None:
    ids = [f"00000000-0000-4000-8000-{number:012x}" for number in range(500)]
    store.commit(Changes(new_customers={each: customer(each) for each in ids}))
    found = store.customers([*ids[:asked], EVE])
    assert {each.customer_id for each in found} == set(ids[:asked])


@pytest.mark.parametrize("leaving", [1, 50, 450])
def test_any_number_of_customers_churns_each_on_its_day(store: Store, leaving: int) -> None:
    ids = [f"00000000-0000-4000-8000-{number:012x}" for number in range(500)]
    store.commit(Changes(new_customers={each: customer(each) for each in ids}))
    left = {each: CHURN + timedelta(days=number) for number, each in enumerate(ids[:leaving])}
    store.commit(Changes(changed_customers={each: customer(each, day) for each, day in left.items()}))
    assert {each.customer_id: each.churn_date for each in store.customers(ids)} == dict.fromkeys(ids) | left


@pytest.mark.parametrize("industry", Industry)
def test_every_industry_and_tier_is_read_as_saved(store: Store, industry: Industry) -> None:
    for number, tier in enumerate(PlanTier):
        customer_id = f"00000000-0000-4000-8000-00000000000{number}"
        saved = Customer(customer_id, industry, tier, date(9999, 12, 31), MRR(Decimal(1)))
        store.commit(Changes(new_customers={customer_id: saved}))
        (found,) = store.customers([customer_id])
        assert (found.industry, found.plan_tier, found.signup_date) == (industry, tier, date(9999, 12, 31))


def test_only_the_requested_customers_are_found(store: Store) -> None:
    store.commit(Changes(new_customers={ADA: customer(ADA), BOB: customer(BOB)}))
    assert [found.customer_id for found in store.customers([BOB, EVE])] == [BOB]
    assert list(store.customers([])) == []


def test_changed_customer_replaces_the_former(store: Store) -> None:
    store.commit(Changes(new_customers={ADA: customer(ADA), BOB: customer(BOB)}))
    store.commit(Changes(changed_customers={ADA: customer(ADA, CHURN)}))
    assert [found.churn_date for found in store.customers([ADA])] == [CHURN]
    assert [found.churn_date for found in store.customers([BOB])] == [None]


def test_active_customers_have_not_churned(store: Store) -> None:
    store.commit(Changes(new_customers={ADA: customer(ADA), BOB: customer(BOB, CHURN), EVE: customer(EVE)}))
    assert details(store.active_customers()) == details([customer(ADA), customer(EVE)])


def test_sample_has_the_requested_size_and_is_stable(store: Store) -> None:
    many = {f"00000000-0000-4000-8000-{number:012}": number for number in range(500)}
    store.commit(Changes(new_customers={one: customer(one, CHURN if n % 2 else None) for one, n in many.items()}))
    sample = store.sample(50)
    assert len(sample) == len(set(sample)) == 50
    assert {each.customer_id for each in sample} <= set(many)
    assert {each.is_active for each in sample} == {True, False}
    assert details(store.sample(50)) == details(sample)


def test_a_sample_larger_than_the_store_is_the_whole_store(store: Store) -> None:
    store.commit(Changes(new_customers={ADA: customer(ADA), BOB: customer(BOB, CHURN)}))
    assert {each.customer_id for each in store.sample(10)} == {ADA, BOB}
    assert store.sample(0) == []


def test_the_customers_table_reads_as_the_contract_says(database: Database, store: Store) -> None:
    store.commit(Changes(new_customers={ADA: customer(ADA, CHURN)}))
    rows = database.rows(
        store,
        "SELECT CAST(customer_id AS VARCHAR), industry, plan_tier, signup_date, mrr, churn_date FROM customers",
    )
    assert rows == [(ADA, "FinTech", "growth", date(2026, 1, 15), Decimal(499), CHURN)]


# Parking


def test_parked_records_are_read_byte_for_byte_in_order(store: Store) -> None:
    later, first = waiting(9), waiting(4)
    store.commit(Changes(parked=parked(later)))
    store.commit(Changes(parked=parked(first, waiting(1))))
    found = list(store.parked([ADA, EVE]))
    assert [each.record for each in found] == [later, first, waiting(1)]
    assert {each.customer_id for each in found} == {EVE}
    assert list(store.parked([ADA])) == []
    assert list(store.parked([])) == []


def test_record_without_key_value_and_headers_is_parked(store: Store) -> None:
    bare = PlainRecord(CANCELLATIONS, 0, 0, -1, None, None, [])
    store.commit(Changes(parked=parked(bare)))
    assert [each.record for each in store.parked([EVE])] == [bare]


def test_released_records_are_not_parked_any_more(store: Store) -> None:
    store.commit(Changes(parked=parked(waiting(0), waiting(1), waiting(2))))
    store.commit(Changes(released=[RecordCoordinates(CANCELLATIONS, 0, 1)]))
    assert [each.record.offset for each in store.parked([EVE])] == [0, 2]
    store.commit(Changes(released=[RecordCoordinates(CANCELLATIONS, 0, 0), RecordCoordinates(CANCELLATIONS, 0, 2)]))
    assert list(store.parked([EVE])) == []
    store.commit(Changes(parked=parked(waiting(7))))
    assert [each.record.offset for each in store.parked([EVE])] == [7]


def test_same_offset_of_another_partition_is_another_record(store: Store) -> None:
    here = waiting(0)
    elsewhere = PlainRecord("other.topic", 0, 0, 0, None, b"", [])
    beside = PlainRecord(CANCELLATIONS, 1, 0, 0, None, b"", [])
    store.commit(Changes(parked=parked(here, elsewhere, beside)))
    store.commit(Changes(released=[RecordCoordinates(CANCELLATIONS, 0, 0)]))
    assert [each.record for each in store.parked([EVE])] == [elsewhere, beside]


def test_records_parked_before_a_moment_are_found_oldest_first(store: Store) -> None:
    store.commit(Changes(parked=parked(waiting(3), waiting(1), waiting(2))))
    moment = datetime.now(UTC)
    assert [each.record for each in store.parked_before(moment, 2)] == [waiting(3), waiting(1)]
    assert list(store.parked_before(moment - timedelta(minutes=1), 2)) == []


def test_abandoned_record_is_not_parked_any_more(store: Store) -> None:
    store.commit(Changes(parked=parked(waiting(0), waiting(1))))
    row = JournalRow(CANCELLATIONS, 0, 1, EVE, "rejected", "no_signup")
    store.commit(Changes(abandoned=[RecordCoordinates(CANCELLATIONS, 0, 1)], journal=[row]))
    assert [each.record.offset for each in store.parked([EVE])] == [0]
    assert store.abandoned == {(CANCELLATIONS, 0, 1)}
    store.commit(Changes(released=[RecordCoordinates(CANCELLATIONS, 0, 0)]))
    assert list(store.parked([EVE])) == []


def test_a_discard_is_kept_with_its_reason(database: Database, store: Store) -> None:
    store.discard([f"{SIGNUPS}/0/7@1", f"{SIGNUPS}/0/8@1"], "a test of billing's")
    assert database.rows(store, "SELECT dead_letter_id, why FROM discards ORDER BY 1") == [
        (f"{SIGNUPS}/0/7@1", "a test of billing's"),
        (f"{SIGNUPS}/0/8@1", "a test of billing's"),
    ]
    assert store.abandoned == {(SIGNUPS, 0, 7), (SIGNUPS, 0, 8)}


# The journal


def test_journal_keeps_each_decision_with_its_time(database: Database, store: Store) -> None:
    rows = [
        (CANCELLATIONS, 7, 2**40, EVE, "rejected", "already_churned", None),
        (SIGNUPS, 0, 0, None, "rejected", "malformed", None),
        (SIGNUPS, 0, 1, ADA, "duplicate", None, None),
    ]
    began = datetime.now(UTC).replace(tzinfo=None)
    store.commit(Changes(journal=[JournalRow(*row[:-1]) for row in reversed(rows)]))
    assert journal(database, store) == rows
    for (at,) in database.rows(store, 'SELECT "at" FROM journal'):
        assert began - timedelta(seconds=1) <= at.replace(tzinfo=None) <= began + timedelta(seconds=60)


# The outbox


def test_pending_rows_are_in_the_order_of_writing(store: Store) -> None:
    store.commit(Changes(outbox=[outgoing("c"), outgoing("a")]))
    store.commit(Changes(outbox=[outgoing("b")]))
    assert pending_ids(store) == ["c", "a", "b"]


def test_outgoing_record_is_read_byte_for_byte(store: Store) -> None:
    bare = Outgoing("bare", "t", None, None, None, [], None)
    headers = [("x", b"\xff"), ("x", None), ("bad\udcff", b""), ("", b"1")]
    whole = Outgoing("whole", "customer.signup-dlt", 3, b"\x00", b"\xfe", headers, ADA, 1_782_820_800_000)
    event = churned_event("event")
    store.commit(Changes(outbox=[bare, whole, event]))
    assert list(store.pending(0, 10).messages) == [bare, whole, event]


def test_commit_returns_the_rows_it_added(database: Database, store: Store) -> None:
    if not database.numbers_at_commit:
        added = store.commit(Changes(outbox=[outgoing("a"), outgoing("b")]))
        assert (ids(added.messages), added.rows) == (["a", "b"], None)
        return
    first = store.commit(Changes(outbox=[outgoing("a"), outgoing("b")]))
    assert (ids(first.messages), first.rows) == (["a", "b"], range(1, 3))
    nothing = store.commit(Changes(positions={(SIGNUPS, 0): 1}))
    assert (ids(nothing.messages), nothing.rows) == ([], range(0))
    second = store.commit(Changes(outbox=[outgoing("c")]))
    assert (ids(second.messages), second.rows) == (["c"], range(3, 4))


def test_pending_rows_are_read_in_parts_of_the_given_size(store: Store) -> None:
    store.commit(Changes(outbox=[outgoing(str(number)) for number in range(5)]))
    first = store.pending(0, 2)
    assert (first.after_seq, ids(first.messages), first.last_seq) == (0, ["0", "1"], 2)
    second = store.pending(first.last_seq, 2)
    assert (second.after_seq, ids(second.messages), second.last_seq) == (2, ["2", "3"], 4)
    third = store.pending(second.last_seq, 2)
    assert (ids(third.messages), third.last_seq) == (["4"], 5)
    assert store.pending(5, 2) == (5, [], 5)


def test_pending_rows_are_read_in_parts_of_about_32_mib(store: Store) -> None:
    half = Outgoing("half", "t", None, None, bytes(16 * 1024 * 1024), [], None)
    store.commit(Changes(outbox=[half, half, half]))
    first = store.pending(0, 100)
    assert len(first.messages) == 2
    assert len(store.pending(first.last_seq, 100).messages) == 1


def test_row_larger_than_a_part_is_read(store: Store) -> None:
    large = Outgoing("large", "t", None, None, bytes(33 * 1024 * 1024), [], None)
    store.commit(Changes(outbox=[large]))
    assert ids(store.pending(0, 100).messages) == ["large"]


def test_marked_rows_are_not_pending(store: Store) -> None:
    store.commit(Changes(outbox=[outgoing("a"), outgoing("b"), outgoing("c")]))
    store.mark_published(2, {("customer.churned", 0): 5, ("customer.churned", 1): 1})
    assert store.published_seq == 2
    assert pending_ids(store) == ["c"]
    assert store.output_ends() == {("customer.churned", 0): 5, ("customer.churned", 1): 1}
    store.mark_published(3, {("customer.churned", 0): 6})
    assert pending_ids(store) == []
    assert store.output_ends() == {("customer.churned", 0): 6, ("customer.churned", 1): 1}
    store.mark_published(3, {})
    assert store.output_ends() == {("customer.churned", 0): 6, ("customer.churned", 1): 1}


# Receipts


def test_receipt_of_a_pending_row_counts_it_as_published(store: Store) -> None:
    store.commit(Changes(outbox=[outgoing("a"), outgoing("b"), outgoing("c")]))
    store.keep_receipts(["b"], {("customer.churned", 0): 4})
    assert pending_ids(store) == ["a", "c"]
    assert store.pending(0, 10).last_seq == 3
    assert store.output_ends() == {("customer.churned", 0): 4}


def test_receipts_of_every_row_leave_no_pending_rows(store: Store) -> None:
    store.commit(Changes(outbox=[outgoing("a"), outgoing("b")]))
    store.keep_receipts(["a", "b"], {})
    assert store.pending(0, 10) == (0, [], 2)


def test_last_rows_with_receipts_are_skipped(store: Store) -> None:
    store.commit(Changes(outbox=[outgoing("a"), outgoing("b"), outgoing("c")]))
    store.keep_receipts(["b", "c"], {})
    place, seen = 0, []
    while (batch := store.pending(place, 1)).last_seq > place:
        seen += ids(batch.messages)
        place = batch.last_seq
    assert (seen, place) == (["a"], 3)


def test_receipt_is_kept_until_its_row(database: Database, store: Store) -> None:
    store.keep_receipts(["b", "never"], {("customer.churned", 0): 4})
    committed = store.commit(Changes(outbox=[outgoing("a"), outgoing("b"), outgoing("c")]))
    assert ids(committed.messages) == ["a", "c"]
    assert store.last_seq == 3
    assert pending_ids(store) == ["a", "c"]
    store.keep_receipts(["d"], {})
    store.commit(Changes(outbox=[outgoing("d"), outgoing("e")]))
    assert pending_ids(store) == ["a", "c", "e"]


def test_receipts_of_rows_added_one_by_one_are_found(store: Store) -> None:
    store.keep_receipts(["a", "b", "c", "d"], {})
    for message_id in ("a", "b", "x", "c", "d"):
        store.commit(Changes(outbox=[outgoing(message_id)]))
    assert pending_ids(store) == ["x"]


def test_a_receipt_read_twice_counts_once(store: Store) -> None:
    store.keep_receipts(["a", "a"], {("t", 0): 1})
    store.keep_receipts(["a"], {("t", 0): 2})
    store.commit(Changes(outbox=[outgoing("a"), outgoing("b")]))
    assert pending_ids(store) == ["b"]
    store.keep_receipts(["a", "b"], {("t", 0): 3})
    assert pending_ids(store) == []
    assert store.output_ends() == {("t", 0): 3}


def test_output_ends_are_kept_without_receipts(store: Store) -> None:
    store.keep_receipts([], {("t", 0): 9})
    assert store.output_ends() == {("t", 0): 9}


# Positions


def test_partitions_have_separate_positions(store: Store) -> None:
    store.commit(Changes(positions={(SIGNUPS, 0): 3, (CANCELLATIONS, 0): 1}))
    store.commit(Changes(positions={(SIGNUPS, 0): 5, (SIGNUPS, 1): 2**40}))
    assert store.positions() == {(SIGNUPS, 0): 5, (SIGNUPS, 1): 2**40, (CANCELLATIONS, 0): 1}


def test_last_positions_are_read(store: Store) -> None:
    every = {
        (topic, partition): 10 * partition + len(topic) for topic in (SIGNUPS, CANCELLATIONS) for partition in (0, 1, 2)
    }
    store.commit(Changes(positions=dict(list(every.items())[:4])))
    later = {place: offset + 1 for place, offset in every.items()}
    store.commit(Changes(positions=later))  # some are there, and some are new
    store.commit(Changes(positions={(SIGNUPS, 2): 1_000, (CANCELLATIONS, 2): 2_000}))
    store.reopen()
    assert store.positions() == later | {(SIGNUPS, 2): 1_000, (CANCELLATIONS, 2): 2_000}


def test_operator_can_move_a_position_back(store: Store) -> None:
    store.commit(Changes(positions={(SIGNUPS, 0): 50, (SIGNUPS, 1): 5}))
    store.forget_position((SIGNUPS, 0), 0)
    assert store.positions() == {(SIGNUPS, 0): 0, (SIGNUPS, 1): 5}


def test_decision_of_a_former_log_comes_first(database: Database, store: Store) -> None:
    prepare(store)
    store.commit(a_bit_of_everything())
    before = journal(database, store)
    for topic in (SIGNUPS, CANCELLATIONS):
        store.forget_position((topic, 0), 0)
    assert journal(database, store) == before
    refused = Outgoing(f"{SIGNUPS}/0/1@5", f"{SIGNUPS}-dlt", 0, b"", b"", [], None)
    store.commit(Changes(journal=[JournalRow(SIGNUPS, 0, 1, None, "rejected", "malformed")], outbox=[refused]))
    assert database.rows(store, "SELECT id, state FROM dead_letters") == [(f"{SIGNUPS}/0/1@5", "open")]


def test_applied_record_is_no_open_dead_letter(database: Database, store: Store) -> None:
    refused = Outgoing(f"{SIGNUPS}/0/1@5", f"{SIGNUPS}-dlt", 0, b"", b"", [], None)
    store.commit(Changes(journal=[JournalRow(SIGNUPS, 0, 1, None, "rejected", "malformed")], outbox=[refused]))
    store.commit(Changes(new_customers={ADA: customer(ADA)}, signups={ADA: (SIGNUPS, 0, 1)}))
    assert database.rows(store, "SELECT outcome, reason, state FROM dead_letters") == [
        ("applied", "malformed", "applied")
    ]


# All or nothing

SPOILERS = {
    "a customer who exists": lambda good: replace(good, new_customers={**good.new_customers, BOB: customer(BOB)}),
    "a parked record of no customer": lambda good: replace(
        good, parked=parked(waiting(1)) | parked(waiting(2), customer_id=NO_UUID)
    ),
    "a decision about no customer": lambda good: replace(
        good, journal=[*good.journal, JournalRow(SIGNUPS, 0, 1, NO_UUID, "applied", None)]
    ),
    "a decision without an outcome": lambda good: replace(
        good,
        journal=[*good.journal, JournalRow(SIGNUPS, 0, 1, ADA, None)],  # type: ignore[arg-type]
    ),
    "an outgoing record of no customer": lambda good: replace(
        good, outbox=[*good.outbox, Outgoing("x", "t", 0, None, None, [], NO_UUID)]
    ),
    "a position without an offset": lambda good: replace(good, positions={**good.positions, (SIGNUPS, 0): object()}),
}


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_failed_commit_changes_nothing_and_can_be_repeated(database: Database, store: Store, spoiler: str) -> None:
    prepare(store)
    before = everything_in(database, store)
    with pytest.raises((StoreError, TypeError)):
        store.commit(SPOILERS[spoiler](a_bit_of_everything()))
    store.rollback()
    assert everything_in(database, store) == before
    assert before["pending"].last_seq == 1

    committed = store.commit(a_bit_of_everything())
    assert ids(committed.messages) == ["new 1", EVENT]
    if database.numbers_at_commit:
        assert committed.rows == range(2, 5)
    _has_everything(database, store)


def test_commit_makes_every_change(database: Database, store: Store) -> None:
    prepare(store)
    store.commit(a_bit_of_everything())
    _has_everything(database, store)


def _has_everything(database: Database, store: Store) -> None:
    assert everything_in(database, store) == {
        "customers": details([customer(ADA), customer(BOB, CHURN)]),
        "active": details([customer(ADA)]),
        "parked": [(EVE, waiting(1))],
        "positions": {(SIGNUPS, 0): 2, (CANCELLATIONS, 0): 3},
        "published": 0,
        "pending": (0, [outgoing("old"), outgoing("new 1"), msgspec.structs.replace(event_of_bob(), cause=None)], 4),
        "ends": {("customer.churned", 0): 7},
        "journal": [
            (CANCELLATIONS, 0, 0, EVE, "parked", None, None),
            (CANCELLATIONS, 0, 2, BOB, "applied", None, EVENT),
            (CANCELLATIONS, 0, 7, EVE, "rejected", "no_signup", None),
            (SIGNUPS, 0, 0, BOB, "applied", None, None),
            (SIGNUPS, 0, 1, ADA, "applied", None, None),
        ],
        "abandoned": {(CANCELLATIONS, 0, 7)},
        "redrives": [("letter", SIGNUPS, 0, 1, "0" * 64)],
        "discards": [],
    }


def test_receipts_are_kept_all_or_none(database: Database, store: Store) -> None:
    prepare(store)
    before = everything_in(database, store)
    with pytest.raises((StoreError, TypeError)):
        store.keep_receipts(["old", "later"], {("t", 0): 1, ("t", 1): object()})  # type: ignore[dict-item]
    assert everything_in(database, store) == before
    store.commit(Changes(outbox=[outgoing("later")]))
    assert pending_ids(store) == ["old", "later"]


def test_mark_is_written_by_the_next_commit_or_by_itself(durable: Database) -> None:
    store = durable.open()
    prepare(store)
    assert store.last_seq == 1  # rows are numbered when they are looked for
    store.mark_published(1, {("t", 0): 5})
    store.commit(Changes(positions={(SIGNUPS, 0): 2}))
    with store.view() as view:
        assert (view.totals().pending, view.published_up_to("t").ends) == (0, {"0": 5})
    store.commit(Changes(outbox=[outgoing("later")]))
    assert store.last_seq == 2
    store.mark_published(2, {("t", 1): 3})
    store.write_mark()
    with store.view() as view:
        assert (view.totals().pending, view.published_up_to("t").ends) == (0, {"0": 5, "1": 3})


def test_unwritten_mark_outlives_a_reopened_and_a_closed_store(durable: Database) -> None:
    store = durable.open()
    prepare(store)
    assert store.last_seq == 1
    store.mark_published(1, {("t", 0): 5})
    store.reopen()
    assert (store.published_seq, store.output_ends()[("t", 0)]) == (1, 5)
    assert pending_ids(store) == []
    store.close()
    store = durable.open()
    assert (store.published_seq, store.output_ends()[("t", 0)]) == (1, 5)


# Restart


def test_reopened_store_has_everything(durable: Database) -> None:
    store = durable.open()
    prepare(store)
    store.commit(a_bit_of_everything())
    store.mark_published(1, {("customer.churned", 1): 2})
    store.keep_receipts(["later"], {})
    before = everything_in(durable, store)
    store.close()

    store = durable.open()
    assert everything_in(durable, store) == before
    committed = store.commit(Changes(outbox=[outgoing("later"), outgoing("last")]))
    assert ids(committed.messages) == ["last"]
    assert store.last_seq == 6
    store.commit(Changes(parked=parked(waiting(0))))
    assert [each.record.offset for each in store.parked([EVE])] == [1, 0]


def test_reopened_published_store_has_nothing_pending(durable: Database) -> None:
    store = durable.open()
    store.commit(Changes(outbox=[outgoing("a"), outgoing("b")]))
    store.mark_published(2, {})
    store.close()
    store = durable.open()
    assert store.published_seq == 2
    assert store.pending(2, 10) == (2, [], 2)
    store.commit(Changes(outbox=[outgoing("c")]))
    assert store.last_seq == 3


def test_reconnected_store_has_everything(durable: Database) -> None:
    store = durable.open()
    prepare(store)
    store.commit(a_bit_of_everything())
    before = everything_in(durable, store)
    store.reopen()
    assert everything_in(durable, store) == before
    store.commit(Changes(outbox=[outgoing("c")]))
    assert store.last_seq == 5


def test_store_is_reopened_after_a_failure_or_close(durable: Database) -> None:
    store = durable.open()
    prepare(store)
    before = everything_in(durable, store)
    with pytest.raises(StoreError):
        store.commit(SPOILERS["a decision about no customer"](a_bit_of_everything()))
    store.reopen()
    assert everything_in(durable, store) == before
    store.close()
    store.reopen()
    store.commit(a_bit_of_everything())
    _has_everything(durable, store)


def test_closed_store_refuses_a_batch(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.commit(a_bit_of_everything())
    with pytest.raises(StoreError):
        store.customers([ADA])


def test_maintenance_changes_nothing(database: Database, store: Store) -> None:
    prepare(store)
    before = everything_in(database, store)
    store.maintain()
    assert everything_in(database, store) == before
