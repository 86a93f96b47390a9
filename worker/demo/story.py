"""Records of each act, with their expected outcomes: written by hand, without the worker's code."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from worker.demo import cast
from worker.demo.cast import Company

Input = Literal["signup", "cancellation"]
BACKLOG_SIGNUPS = 4_000
BACKLOG_CANCELLATIONS = 1_500
NAMED_WHILE_DOWN = 6
HELD_BACK_BY_THE_CRASH = 1
PARKED_THEN_APPLIED = 1


@dataclass(frozen=True, slots=True)
class Line:
    """A record and its expected outcome at the end.

    `outcome` is applied, duplicate, parked or rejected, `reason` the code of a rejection. `customer` is the company
    that an applied record concerns, `churn_date` the date if it makes that company churn. `label` is shown in tables.
    """

    topic: Input
    key: bytes | None
    value: bytes | None
    outcome: str
    reason: str | None = None
    customer: Company | None = None
    churn_date: str | None = None
    label: str = ""

    @property
    def leaves(self) -> bool:
        """Whether the record makes a customer churn, and so leads to an event."""
        return self.churn_date is not None


def signup(
    company: Company, outcome: str = "applied", reason: str | None = None, label: str = "", **other: Any
) -> Line:
    """Build a signup; `other` has fields that differ from the company's own."""
    fields = {
        "customer_id": company.id,
        "industry": company.industry,
        "plan_tier": company.plan,
        "signup_date": company.signup_date,
        "mrr": {"amount": company.mrr, "currency": "USD"},
    }
    customer = company if outcome == "applied" else None
    return Line("signup", company.id.encode(), _json(fields | other), outcome, reason, customer, label=label)


def cancellation(
    company: Company,
    churn_date: str,
    outcome: str = "applied",
    reason: str | None = None,
    why: str = "",
    label: str = "",
) -> Line:
    """Build a cancellation; `why` is the reason in the record."""
    fields = {"customer_id": company.id, "cancellation_date": churn_date} | ({"reason": why} if why else {})
    is_applied = outcome == "applied"
    leaver, left = (company, churn_date) if is_applied else (None, None)
    return Line("cancellation", company.id.encode(), _json(fields), outcome, reason, leaver, left, label)


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


FIRST_CANCELLATIONS = (
    (cast.DOCKET, "2026-06-12", "too_expensive"),
    (cast.WILLOW, "2026-06-30", "moved_away"),
    (cast.CHALKLINE, "2026-07-01", ""),
)
KESTREL_LEFT = "2026-07-15"


def ten_sign_up() -> list[Line]:
    """Return ten signups."""
    return [signup(company) for company in cast.FIRST_TEN]


def three_cancel() -> list[Line]:
    """Return three cancellations, one of them repeated, and a repeated signup in another spelling."""
    harbor = cast.HARBOR
    again = signup(harbor, "duplicate", customer_id=harbor.id.upper(), plan_tier="GROWTH", mrr=499)
    lines = [cancellation(company, date, why=why) for company, date, why in FIRST_CANCELLATIONS]
    return [*lines, cancellation(cast.WILLOW, "2026-06-30", "duplicate"), again]


def two_cancel_ahead_of_signup() -> list[Line]:
    """Return two cancellations of unknown customers: one signs up later, the other never."""
    unknown = Company(cast.UNKNOWN_CUSTOMER, "", "", "0", "")
    return [cancellation(cast.JUNIPER, "2026-07-10", why="acquired"), cancellation(unknown, "2026-07-11", "parked")]


def nine_are_refused() -> list[Line]:
    """Return records that contradict the customers stored, or cannot be decoded."""
    novice = Company("Novice", "Other", "starter", "20.00", "2026-07-01")
    large = _json({"customer_id": novice.id, "padding": "x" * 70_000})
    return [
        signup(cast.HARBOR, "rejected", "signup_conflict", "Harbor, now enterprise", plan_tier="enterprise"),
        cancellation(cast.WILLOW, "2026-07-31", "rejected", "already_churned", label="Willow, a month later"),
        cancellation(cast.PEOPLEWISE, "2026-01-01", "rejected", "churn_before_signup", label="Peoplewise, too early"),
        signup(
            novice, "rejected", "unsupported_currency", "a signup in euros", mrr={"amount": "20.00", "currency": "EUR"}
        ),
        signup(novice, "rejected", "unknown_plan_tier", "the plan platinum", plan_tier="platinum"),
        signup(novice, "rejected", "invalid", "-5.00 a month", mrr={"amount": "-5.00", "currency": "USD"}),
        Line("cancellation", b"billing-7", b'{"customer_id": "0b2', "rejected", "malformed", label="half a record"),
        Line("signup", novice.id.encode(), None, "rejected", "empty", label="no value"),
        Line("signup", None, large, "rejected", "too_large", label="70 KB of text"),
    ]


def fatal_cancellation() -> Line:
    """Return the cancellation after whose commit the worker is killed."""
    return cancellation(cast.KESTREL, KESTREL_LEFT, why="merger")


def while_down() -> list[Line]:
    """Return the records sent while the worker is down: repeats, a late signup, a cancellation, and a backlog."""
    repeated = [(company, date) for company, date, _ in FIRST_CANCELLATIONS] + [(cast.KESTREL, KESTREL_LEFT)]
    again = [cancellation(company, date, "duplicate") for company, date in repeated]
    return [*again, signup(cast.JUNIPER), cancellation(cast.BRICKFIELD, "2026-07-16"), *backlog()]


def backlog() -> Iterator[Line]:
    """Yield signups of thousands of customers, cancellations of some; one record in twenty is repeated."""
    chance = random.Random(42)  # noqa: S311 - the same story in every run
    plans = (("free", 0, 0), ("starter", 20, 99), ("growth", 199, 999), ("enterprise", 2_000, 9_000))
    for number in range(BACKLOG_SIGNUPS):
        plan, low, high = chance.choices(plans, weights=(30, 45, 22, 3))[0]
        mrr = f"{chance.randint(low * 100, high * 100) / 100:.2f}"
        company = Company(
            f"backlog {number}", "Other", plan, mrr, f"2026-0{chance.randint(1, 6)}-{chance.randint(1, 28):02}"
        )
        leaving = (
            [cancellation(company, f"2026-07-{chance.randint(1, 28):02}")] if number < BACKLOG_CANCELLATIONS else []
        )
        for line in [signup(company), *leaving]:
            yield line
            if chance.random() < 1 / 20:
                yield _repeat(line)


def _repeat(line: Line) -> Line:
    return Line(line.topic, line.key, line.value, "duplicate")


def records_before_the_crash() -> int:
    """Return the number of records, one commit each, before the fatal cancellation."""
    acts = (ten_sign_up(), three_cancel(), two_cancel_ahead_of_signup(), nine_are_refused())
    return sum(map(len, acts))
