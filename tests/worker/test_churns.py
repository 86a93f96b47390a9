"""The store adds up its churns as the topic's reader does: to the cent, and to the last customer."""

import json
import uuid
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from tests.worker.builders import ADA, BOB, CHURNED, EVE, apply, cancellation, signup
from worker.bootstrap import open_value_reader
from worker.errors import Refusal
from worker.reconcile.reconciliation import require_comparable
from worker.stores.churns import Churn, ChurnDay, ChurnPair, PendingChurn, PublishedPosition, Sum, ValueReader
from worker.stores.duckdb.churns import churn_days, churn_pairs, pending_churns, published_up_to
from worker.stores.duckdb.file import MEMORY
from worker.stores.duckdb.store import DuckDBStore

DAY = date(2026, 6, 30)
LATER = date(2026, 7, 1)
ALL = 2**40
ARRS = {
    "0": "0.00",
    "499.00": "5988.00",
    "83.333333": "1000.00",
    "0.000416": "0.00",
    "0.000417": "0.01",
    "83.33375": "1000.01",
    "999999999999.999999": "12000000000000.00",
    "0.000001": "0.00",
}
NO_EVENTS: list[bytes | None] = [
    None, b"", b"\xff", b"[]", b"{}", b"1", b"null", b'{"customer_id"', b'{"lost_arr": 1}',
]  # fmt: skip
NO_PARTS: dict[str, list[object]] = {
    "customer_id": [None, 1, "x", "\x1b[31m", ADA.upper(), ADA.replace("-", ""), f" {ADA}", "{" + ADA + "}"],
    "churn_date": [
        None, 20260630, "2026-02-30", "2026-W01-1", "2026-6-30", "2026/06/30", "infinity", "epoch", "2026-06-30 ",
        "12026-06-30", "0000-01-01", "0001-01-01 (BC)", "2026-06-30T00:00:00Z",
    ],
    "amount": [None, 5988, "NaN", "", "5988", "5988.0", "5988.001", "1e2", "+1.00", " 1.00", "1" * 37 + ".00", "05.00"],
    "currency": [None, "EUR", "usd", ""],
}  # fmt: skip
SPOOFS = [
    r'"x\",\"churn_date\":\"1999-01-01\",\"lost_arr\":{\"amount\":\"1.00\""',
    r'"\\\",\"churn_date\":\"1999-01-01"',
    '"\u2028é"',
]


@pytest.fixture
def store() -> Iterator[DuckDBStore]:
    opened = DuckDBStore(MEMORY)
    yield opened
    opened.close()


def churn(who: str = ADA, day: date = DAY, arr: str = "5988.00") -> Churn:
    return Churn(who, day, Decimal(arr))


def leave(store: DuckDBStore, who: str = ADA, day: date = DAY, reason: str = "null") -> None:
    apply(store, [signup(0, who), cancellation(0, who, str(day), reason=reason)])


def value(told: Churn, **parts: object) -> bytes:
    money = {"amount": str(told.lost_arr), "currency": "USD"}
    event = {"customer_id": told.customer_id, "churn_date": str(told.day)}
    fields = {name: parts.get(name, each) for name, each in event.items()}
    return json.dumps({**fields, "lost_arr": {name: parts.get(name, each) for name, each in money.items()}}).encode()


def total(*churns: Churn) -> Sum:
    """As the reader of the topic has it."""
    with open_value_reader() as values:
        days = values.days([value(each) for each in churns], 0).days
    return sum(days.values(), Sum())


@pytest.fixture
def values() -> Iterator[ValueReader]:
    with open_value_reader() as reader:
        yield reader


@pytest.mark.parametrize("amount", ARRS)
def test_every_amount_comes_to_the_same_sum_by_customer_by_event_and_as_read_from_the_topic(
    store: DuckDBStore, amount: str
) -> None:
    arr = ARRS[amount]
    apply(store, [signup(0, ADA, mrr=f'"{amount}"'), cancellation(0)])
    (day,) = churn_days(store._db, CHURNED, ALL, date.min, date.max)
    assert day == ChurnDay(DAY, total(churn(arr=arr)), total(churn(arr=arr)))


def test_many_customers_of_a_day_are_added_up_and_days_kept_apart(store: DuckDBStore) -> None:
    people = [str(uuid.UUID(int=number)) for number in range(20)]
    for number, who in enumerate(people):
        leave(store, who, DAY if number % 2 else LATER)
    assert churn_days(store._db, CHURNED, ALL, date.min, date.max) == [
        ChurnDay(day, total(*each), total(*each))
        for day, each in [(DAY, map(churn, people[1::2])), (LATER, [churn(who, LATER) for who in people[::2]])]
        for each in [list(each)]
    ]


def test_two_sums_are_equal_only_where_they_are_of_the_same_churns() -> None:
    assert total(churn(ADA), churn(BOB)) == total(churn(BOB), churn(ADA))
    assert total(churn(ADA), churn(ADA)) != total(churn(ADA), churn(BOB))
    assert total(churn(ADA, arr="1.00"), churn(BOB, arr="2.00")) != total(
        churn(ADA, arr="2.00"), churn(BOB, arr="1.00")
    )
    assert total(churn(ADA), churn(BOB)) - total(churn(BOB)) == total(churn(ADA))
    assert total(churn(ADA)) - total(churn(BOB)) + total(churn(BOB)) == total(churn(ADA))


def test_events_after_what_was_published_are_pending_unless_they_have_a_receipt(store: DuckDBStore) -> None:
    for who in (ADA, BOB, EVE):
        leave(store, who)
    published_seq = 1
    (day,) = churn_days(store._db, CHURNED, published_seq, date.min, date.max)
    assert (day.published, day.pending) == (total(churn(ADA)), total(churn(BOB), churn(EVE)))
    assert pending_churns(store._db, CHURNED, published_seq, 1) == [PendingChurn(BOB, DAY, total(churn(BOB)))]
    store.keep_receipts([store.pending(0, 10).messages[2].id], {})
    (day,) = churn_days(store._db, CHURNED, published_seq, date.min, date.max)
    assert (day.published, day.pending) == (total(churn(ADA), churn(EVE)), total(churn(BOB)))


def test_only_the_days_asked_for_are_added_up(store: DuckDBStore) -> None:
    leave(store, ADA, DAY)
    leave(store, BOB, LATER)
    assert [day.day for day in churn_days(store._db, CHURNED, ALL, LATER, date.max)] == [LATER]
    assert [day.day for day in churn_days(store._db, CHURNED, ALL, date.min, DAY)] == [DAY]
    assert churn_days(store._db, CHURNED, ALL, date(2026, 7, 2), date(2027, 1, 1)) == []


@pytest.mark.parametrize("reason", SPOOFS)
def test_what_billing_gives_as_a_reason_is_never_taken_for_a_field(store: DuckDBStore, reason: str) -> None:
    leave(store, reason=reason)
    assert churn_days(store._db, CHURNED, ALL, date.min, date.max) == [ChurnDay(DAY, total(churn()), total(churn()))]


def test_each_customer_of_a_day_is_told_by_both_accounts(store: DuckDBStore) -> None:
    leave(store, ADA)
    leave(store, BOB)
    leave(store, EVE)
    store._db.execute("DELETE FROM outbox WHERE customer_id = ?", [BOB]).fetchall()
    store._db.execute("UPDATE customers SET churn_date = ? WHERE customer_id = ?", [LATER, EVE]).fetchall()
    both = ChurnPair(ADA, churn(ADA), churn(ADA), is_published=True)
    moved = ChurnPair(EVE, churn(EVE, LATER), churn(EVE), is_published=True)
    assert churn_pairs(store._db, CHURNED, ALL, [DAY]) == [
        ChurnPair(BOB, churn(BOB), None, is_published=False),
        both,
        moved,
    ]
    assert churn_pairs(store._db, CHURNED, ALL, [LATER]) == [moved]
    store._db.execute("DELETE FROM customers WHERE customer_id = ?", [ADA]).fetchall()
    assert ChurnPair(ADA, None, churn(ADA), is_published=True) in churn_pairs(store._db, CHURNED, ALL, [DAY])


def test_the_event_as_the_worker_writes_it_is_read_as_what_the_store_says(
    store: DuckDBStore, values: ValueReader
) -> None:
    leave(store, ADA, DAY, reason='"merger"')
    leave(store, BOB, LATER)
    written = [message.value for message in store.pending(0, 10).messages]
    read = values.days(written, 1)
    assert read.days == {day.day: day.customers for day in churn_days(store._db, CHURNED, ALL, date.min, date.max)}
    assert (read.recent, read.strangers) == ([BOB], [])
    assert values.churns(written) == [(0, churn(ADA)), (1, churn(BOB, LATER))]
    assert values.churns(written, {BOB, EVE}) == [(1, churn(BOB, LATER))]
    assert values.sums([churn(ADA), churn(BOB, LATER)]) == read.days
    assert values.fingerprinted_by == published_up_to(store._db, CHURNED).fingerprinted_by


def test_of_what_is_on_the_topic_each_day_is_added_up_and_the_last_customers_are_told(values: ValueReader) -> None:
    said = [value(churn(ADA)), b"?", value(churn(BOB, LATER)), value(churn(EVE))]
    read = values.days(said, 2)
    assert read.days == {DAY: total(churn(ADA), churn(EVE)), LATER: total(churn(BOB, LATER))}
    assert (read.recent, read.strangers) == ([BOB, EVE], [1])


@pytest.mark.parametrize(
    "said",
    NO_EVENTS + [value(churn(), **{name: part}) for name, parts in NO_PARTS.items() for part in parts],
    ids=repr,
)
def test_what_is_no_event_as_the_worker_writes_it_is_a_stranger(values: ValueReader, said: bytes | None) -> None:
    read = values.days([value(churn()), said, value(churn(BOB))], 0)
    assert read.strangers == [1]
    assert read.days == {DAY: total(churn(), churn(BOB))}
    assert values.churns([said]) == []


def test_sums_whose_fingerprints_are_made_otherwise_are_not_compared(values: ValueReader) -> None:
    require_comparable(PublishedPosition(0, {}, values.fingerprinted_by), values)
    with pytest.raises(Refusal, match=r"DuckDB 1\.0.*Use the command of the worker's installation"):
        require_comparable(PublishedPosition(0, {}, "DuckDB 1.0"), values)
