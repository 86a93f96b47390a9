"""Tombstones on `customer.churned` erase earlier events of their customer."""

from datetime import date
from decimal import Decimal

import pytest

from tests.support.builders import ADA, BOB, CHURNED, EVE
from worker.messages.churned_event import churned_id
from worker.messages.record import PlainRecord
from worker.outbox.receipts import published_id
from worker.stores.churns import Churn
from worker.stores.erasure import EventOffset, IneffectiveTombstone, erased_customer, erasures


def churn(who: str) -> Churn:
    return Churn(who, date(2026, 6, 30), Decimal("12.00"))


@pytest.mark.parametrize(
    "key", [None, b"", b"x", ADA.upper().encode(), ADA.encode() + b" ", ADA.encode()[:-1] + b"\xff", b"\xff" * 36]
)
def test_tombstone_with_another_key_erases_no_event(key: bytes | None) -> None:
    assert erased_customer(key) is None
    assert receipt(key, None) is None


def test_tombstone_is_the_receipt_of_its_customers_event() -> None:
    assert erased_customer(ADA.encode()) == ADA
    assert receipt(ADA.encode(), None) == churned_id(ADA)
    assert receipt(ADA.encode(), b"{}") is None, "a record with a value is recognised by its headers"


def test_event_before_its_last_tombstone_is_erased() -> None:
    tombstones = {ADA: {0: 7}, BOB: {0: 8}, EVE: {0: 9, 1: 3}}
    events = [
        (EventOffset(0, 6), churn(ADA)),
        (EventOffset(0, 9), churn(BOB)),
        (EventOffset(1, 2), churn(EVE)),
        (EventOffset(2, 0), churn(EVE)),
    ]
    found = erasures("t", tombstones, events)
    assert found.customers == {ADA}
    assert found.events == {EventOffset(0, 6): churn(ADA), EventOffset(1, 2): churn(EVE)}
    assert found.ineffective == [
        IneffectiveTombstone(BOB, "t/0/8", "t/0/9"),
        IneffectiveTombstone(EVE, "t/0/9", "t/2/0"),
        IneffectiveTombstone(EVE, "t/1/3", "t/2/0"),
    ]


def receipt(key: bytes | None, value: bytes | None) -> str | None:
    """Return the id that the receipt has of a record on the topic."""
    return published_id(PlainRecord(CHURNED, 0, 0, 0, key, value, []), CHURNED)
