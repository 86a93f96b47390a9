"""Expected results of the records sent, and the actual ones from topics and store, in the same form."""

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

Coordinates = tuple[str, int, int]
"""A record's topic, partition and offset."""
TWICE = "twice"


@dataclass(frozen=True, slots=True)
class ExpectedChurn:
    """A customer expected to have churned on an ISO date."""

    company: Company
    churn_date: str


def signed_up(sent: Sequence[Sent]) -> dict[str, Company]:
    """Return the customers expected in the store."""
    lines = [record.line for record in sent if record.line.topic == "signup"]
    return {line.customer.id: line.customer for line in lines if line.customer}


def churned(sent: Sequence[Sent]) -> dict[str, ExpectedChurn]:
    """Return the customers expected to have churned."""
    expected = [
        ExpectedChurn(r.line.customer, r.line.churn_date) for r in sent if r.line.customer and r.line.churn_date
    ]
    return {churn.company.id: churn for churn in expected}


def fields_of(record: Seen) -> dict[str, Any]:
    """Decode the JSON of a record."""
    fields: dict[str, Any] = json.loads(record.value or b"{}")
    return fields


def header_of(letter: Seen, name: str) -> str:
    """Return an error header of a dead letter."""
    return letter.headers.get(f"__dlq.errors.{name}", b"").decode()


def events_by_customer(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    """Group the `customer.churned` events by customer."""
    events: dict[str, list[Seen]] = defaultdict(list)
    for record in seen:
        if record.output == "churned":
            events[str(fields_of(record).get("customer_id"))].append(record)
    return events


def letters_by_coordinates(seen: Sequence[Seen]) -> dict[Coordinates, list[Seen]]:
    """Group the dead letters by the coordinates of their record."""
    letters: dict[Coordinates, list[Seen]] = defaultdict(list)
    for record in seen:
        if record.output != "churned":
            coordinates = (
                header_of(record, "topic"),
                int(header_of(record, "partition") or -1),
                int(header_of(record, "offset") or -1),
            )
            letters[coordinates].append(record)
    return letters


def decisions(kept: Kept) -> dict[Coordinates, list[tuple[str, str | None]]]:
    """Return the outcomes of each record in the journal, with the reason of a rejection."""
    outcomes: dict[Coordinates, list[tuple[str, str | None]]] = defaultdict(list)
    for row in kept.journal:
        outcomes[row.topic, row.partition, row.offset].append((row.outcome, row.reason))
    return outcomes


def final(outcomes: Sequence[tuple[str, str | None]]) -> str:
    """Return the final outcome of a record, which may have been parked before; `TWICE` if it was decided repeatedly."""
    names = [outcome for outcome, _ in outcomes]
    decided = [name for name in names if name != "parked"]
    return TWICE if len(decided) > 1 or names.count("parked") > 1 else (decided or names)[0]


def arr_of(customer: KeptCustomer) -> Decimal:
    """Return dollars per year, rounded to cents."""
    return (customer.mrr * 12).quantize(Decimal("0.01"), ROUND_HALF_UP)
