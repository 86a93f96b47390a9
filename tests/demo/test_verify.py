"""The demo's verdict names each kind of loss and repetition."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from worker.demo.cast import CHALKLINE, HARBOR
from worker.demo.store_file import Decided, Kept, KeptCustomer
from worker.demo.story import Line, cancellation, signup
from worker.demo.traffic import Seen, Sent
from worker.demo.verify import Verdict, judge

BAD = Line("signup", b"key", b"no JSON", "rejected", "malformed")
LINES = [signup(CHALKLINE), signup(HARBOR), cancellation(CHALKLINE, "2026-07-01"), BAD]
SENT = [Sent(line, line.topic, 0, offset) for offset, line in enumerate(LINES)]


def event(lost_arr: str = "1000.00", churn_date: str = "2026-07-01", customer_id: str = CHALKLINE.id) -> Seen:
    money = {"amount": lost_arr, "currency": "USD"}
    fields = {"customer_id": customer_id, "churn_date": churn_date, "lost_arr": money}
    return Seen("churned", customer_id.encode(), json.dumps(fields).encode(), {})


def dead_letter(value: bytes = b"no JSON", reason: str = "malformed", offset: int = 3) -> Seen:
    told = {"topic": "signup", "partition": "0", "offset": str(offset), "reason": reason}
    headers = {f"__dlq.errors.{name}": text.encode() for name, text in told.items()}
    return Seen("signup-dlt", b"key", value, headers)


SEEN = [event(), dead_letter()]
KEPT = Kept(
    customers=[
        KeptCustomer(CHALKLINE.id, Decimal("83.333333"), "2026-07-01"),
        KeptCustomer(HARBOR.id, Decimal("499.000000"), None),
    ],
    journal=[
        Decided("signup", 0, 0, "applied", None),
        Decided("signup", 0, 1, "applied", None),
        Decided("cancellation", 0, 2, "parked", None),
        Decided("cancellation", 0, 2, "applied", None),
        Decided("signup", 0, 3, "rejected", "malformed"),
    ],
    parked=[],
)


def verdict(seen: Sequence[Seen] = SEEN, kept: Kept = KEPT) -> Verdict:
    return judge(SENT, seen, kept)


def test_equal_contents_pass_the_verdict() -> None:
    assert verdict().is_well
    assert [(row.what, row.sent, row.topics, row.file) for row in verdict().rows][-1] == (
        "ARR lost",
        Decimal("1000.00"),
        Decimal("1000.00"),
        Decimal("1000.00"),
    )


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        ([dead_letter()], lambda v: v.lost),
        ([event(), event(), dead_letter()], lambda v: v.repeated),
        ([event(lost_arr="999.99"), dead_letter()], lambda v: v.wrong),
        ([event(churn_date="2026-07-02"), dead_letter()], lambda v: v.wrong),
        ([event(), event(customer_id=HARBOR.id), dead_letter()], lambda v: v.wrong),
        ([event()], lambda v: v.lost),
        ([event(), dead_letter(), dead_letter()], lambda v: v.repeated),
        ([event(), dead_letter(value=b"changed")], lambda v: v.wrong),
        ([event(), dead_letter(reason="invalid")], lambda v: v.wrong),
        ([event(), dead_letter(), dead_letter(offset=4)], lambda v: v.wrong),
    ],
)
def test_differences_on_the_topics_are_found(seen: list[Seen], found: Callable[[Verdict], list[str]]) -> None:
    assert not verdict(seen=seen).is_well
    assert len(found(verdict(seen=seen))) == 1


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (replace(KEPT, customers=KEPT.customers[:1]), lambda v: v.lost),
        (replace(KEPT, customers=[*KEPT.customers, KeptCustomer("else", Decimal(1), None)]), lambda v: v.wrong),
        (replace(KEPT, customers=[KEPT.customers[0], KeptCustomer(HARBOR.id, Decimal(500), None)]), lambda v: v.wrong),
        (replace(KEPT, journal=KEPT.journal[1:]), lambda v: v.lost),
        (replace(KEPT, journal=[*KEPT.journal, KEPT.journal[0]]), lambda v: v.repeated),
        (replace(KEPT, journal=[*KEPT.journal[:4], Decided("signup", 0, 3, "rejected", "invalid")]), lambda v: v.wrong),
        (replace(KEPT, journal=[*KEPT.journal, Decided("signup", 0, 9, "applied", None)]), lambda v: v.wrong),
    ],
)
def test_differences_in_the_store_are_found(kept: Kept, found: Callable[[Verdict], list[str]]) -> None:
    assert not verdict(kept=kept).is_well
    assert len(found(verdict(kept=kept))) == 1
