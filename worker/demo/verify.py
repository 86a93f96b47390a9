"""Verification: the records sent are compared with the topics and the store file, without the worker's code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from worker.demo import ledger
from worker.demo.cast import NAMES
from worker.demo.ledger import ExpectedChurn, header_of
from worker.demo.store_file import Kept
from worker.demo.traffic import Seen, Sent

OUTCOMES = ("applied", "duplicate", "parked", "rejected")


@dataclass(frozen=True, slots=True)
class Row:
    """A count by the records sent, by the topics and by the store file. None if a source has no such count."""

    what: str
    sent: int | Decimal
    topics: int | Decimal | None
    file: int | Decimal | None

    @property
    def is_well(self) -> bool:
        """Whether the counts are equal."""
        return all(found is None or found == self.sent for found in (self.topics, self.file))


@dataclass(slots=True)
class Verdict:
    """Result of the verification. `lost`, `repeated` and `wrong` have one sentence per finding."""

    rows: list[Row]
    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether there are no findings, and all counts are equal."""
        return not (self.lost or self.repeated or self.wrong) and all(row.is_well for row in self.rows)

    def as_json(self) -> str:
        """Return the result as JSON; amounts are strings."""
        rows = {row.what.strip(): {"sent": row.sent, "topics": row.topics, "file": row.file} for row in self.rows}
        findings = {"lost": self.lost, "repeated": self.repeated, "wrong": self.wrong}
        return json.dumps({"ok": self.is_well, **findings, "compared": rows}, default=str)


def judge(sent: Sequence[Sent], seen: Sequence[Seen], kept: Kept) -> Verdict:
    """Compare the records sent with the output topics, read to their end, and with the store file."""
    verdict = Verdict(list(_rows(sent, seen, kept)))
    _judge_decisions(sent, kept, verdict)
    _judge_events(sent, seen, verdict)
    _judge_dead_letters(sent, seen, verdict)
    _judge_customers(sent, kept, verdict)
    return verdict


def _rows(sent: Sequence[Sent], seen: Sequence[Seen], kept: Kept) -> Iterator[Row]:
    events = [ledger.fields_of(record) for record in seen if record.output == "churned"]
    churned = ledger.churned(sent)
    expected = Counter(record.line.outcome for record in sent)
    found = Counter(map(ledger.final, ledger.decisions(kept).values()))
    yield Row("records decided", len(sent), None, sum(found[outcome] for outcome in OUTCOMES))
    for outcome in OUTCOMES:
        dead_letters = len(seen) - len(events) if outcome == "rejected" else None
        yield Row(f"  {outcome}", expected[outcome], dead_letters, found[outcome])
    yield Row("customers", len(ledger.signed_up(sent)), None, len(kept.customers))
    yield Row("  churned", len(churned), len(events), len(kept.churned))
    yield Row(
        "ARR lost",
        sum((churn.company.arr for churn in churned.values()), Decimal()),
        sum((Decimal(event["lost_arr"]["amount"]) for event in events), Decimal()),
        sum(map(ledger.arr_of, kept.churned), Decimal()),
    )


def _judge_decisions(sent: Sequence[Sent], kept: Kept, verdict: Verdict) -> None:
    decisions = ledger.decisions(kept)
    for record in sent:
        line = record.line
        found = decisions.pop((record.topic, record.partition, record.offset), [])
        name = f"record {record.topic}/{record.partition}/{record.offset}"
        if not found:
            verdict.lost.append(f"{name} was never decided")
        elif ledger.final(found) == ledger.TWICE:
            verdict.repeated.append(f"{name} was decided more than once")
        elif (line.outcome, line.reason) not in found or ledger.final(found) != line.outcome:
            verdict.wrong.append(f"{name} came to {found[-1][0]} {found[-1][1] or ''}, not to {line.outcome}")
    verdict.wrong.extend(f"record {coordinates} was decided, but never sent" for coordinates in decisions)


def _judge_events(sent: Sequence[Sent], seen: Sequence[Seen], verdict: Verdict) -> None:
    events = ledger.events_by_customer(seen)
    for customer_id, churn in ledger.churned(sent).items():
        found = events.pop(customer_id, [])
        name = f"customer.churned of {NAMES.get(customer_id, customer_id)}"
        if not found:
            verdict.lost.append(f"{name} is not on the topic")
        elif len(found) > 1:
            verdict.repeated.append(f"{name} is on the topic {len(found)} times")
        elif not _is_event_of(found[0], churn):
            verdict.wrong.append(f"{name} does not have {churn.churn_date} and {churn.company.arr}")
    verdict.wrong.extend(f"customer.churned of {customer_id}, who did not churn" for customer_id in events)


def _is_event_of(event: Seen, churn: ExpectedChurn) -> bool:
    fields = ledger.fields_of(event)
    expected = (churn.churn_date, {"amount": str(churn.company.arr), "currency": "USD"})
    return event.key == churn.company.id.encode() and (fields.get("churn_date"), fields.get("lost_arr")) == expected


def _judge_dead_letters(sent: Sequence[Sent], seen: Sequence[Seen], verdict: Verdict) -> None:
    letters = ledger.letters_by_coordinates(seen)
    for record in sent:
        line = record.line
        found = letters.pop((record.topic, record.partition, record.offset), [])
        name = f"the dead letter of {record.topic}/{record.partition}/{record.offset}"
        if len(found) > 1:
            verdict.repeated.append(f"{name} is there {len(found)} times")
        elif line.outcome == "rejected" and not found:
            verdict.lost.append(f"{name} is missing")
        elif found and (found[0].key, found[0].value, header_of(found[0], "reason")) != (
            line.key,
            line.value,
            line.reason,
        ):
            verdict.wrong.append(f"{name} is not the record as it was sent, or does not have the reason {line.reason}")
    verdict.wrong.extend(f"a dead letter of {coordinates}, which was never sent" for coordinates in letters)


def _judge_customers(sent: Sequence[Sent], kept: Kept, verdict: Verdict) -> None:
    churn_dates = {customer_id: churn.churn_date for customer_id, churn in ledger.churned(sent).items()}
    in_file = {customer.customer_id: customer for customer in kept.customers}
    for customer_id, company in ledger.signed_up(sent).items():
        customer = in_file.pop(customer_id, None)
        if customer is None:
            verdict.lost.append(f"customer {customer_id} is not in the file")
        elif (customer.mrr, customer.churn_date) != (Decimal(company.mrr), churn_dates.get(customer_id)):
            verdict.wrong.append(f"customer {customer_id} is not as it was sent")
    verdict.wrong.extend(f"customer {customer_id} is in the file, but never signed up" for customer_id in in_file)
