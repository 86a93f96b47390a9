"""The expected ends, from what was sent; and what the topics say, in the same terms."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from worker.demo.cast import Company
from worker.demo.store_file import Kept, KeptCustomer
from worker.demo.traffic import Seen, Sent

Place = tuple[str, int, int]
"""A record's topic, partition and offset."""
TWICE = "twice"


@dataclass(frozen=True, slots=True)
class Leaver:
    """A customer who must have left, on an ISO date."""

    company: Company
    churn_date: str


def signed_up(sent: Sequence[Sent]) -> dict[str, Company]:
    """Who must be a customer."""
    lines = [record.line for record in sent if record.line.topic == "signup"]
    return {line.customer.id: line.customer for line in lines if line.customer}


def left(sent: Sequence[Sent]) -> dict[str, Leaver]:
    """Who must have left."""
    leavers = [Leaver(r.line.customer, r.line.churn_date) for r in sent if r.line.customer and r.line.churn_date]
    return {leaver.company.id: leaver for leaver in leavers}


def fields_of(record: Seen) -> dict[str, Any]:
    """The JSON of a record."""
    fields: dict[str, Any] = json.loads(record.value or b"{}")
    return fields


def told(letter: Seen, name: str) -> str:
    """What a dead letter tells of its record."""
    return letter.headers.get(f"__dlq.errors.{name}", b"").decode()


def events_by_customer(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    """The `customer.churned` events of each customer."""
    events: dict[str, list[Seen]] = defaultdict(list)
    for record in seen:
        if record.output == "churned":
            events[str(fields_of(record).get("customer_id"))].append(record)
    return events


def letters_by_place(seen: Sequence[Seen]) -> dict[Place, list[Seen]]:
    """The dead letters of each record."""
    letters: dict[Place, list[Seen]] = defaultdict(list)
    for record in seen:
        if record.output != "churned":
            place = told(record, "topic"), int(told(record, "partition") or -1), int(told(record, "offset") or -1)
            letters[place].append(record)
    return letters


def decisions(kept: Kept) -> dict[Place, list[tuple[str, str | None]]]:
    """The journal's outcomes of each record, with the reason of a rejection."""
    outcomes: dict[Place, list[tuple[str, str | None]]] = defaultdict(list)
    for row in kept.journal:
        outcomes[row.topic, row.partition, row.offset].append((row.outcome, row.reason))
    return outcomes


def final(outcomes: Sequence[tuple[str, str | None]]) -> str:
    """What a record came to: a parked one may have been decided since. `TWICE` where it was decided more than once."""
    names = [outcome for outcome, _ in outcomes]
    decided = [name for name in names if name != "parked"]
    return TWICE if len(decided) > 1 or names.count("parked") > 1 else (decided or names)[0]


def arr_of(customer: KeptCustomer) -> Decimal:
    """Dollars a year, to the cent."""
    return (customer.mrr * 12).quantize(Decimal("0.01"), ROUND_HALF_UP)
