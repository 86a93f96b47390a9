"""Was anything lost, or done twice? What was sent, the topics and the file are compared, without the worker's code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from worker.demo import ledger
from worker.demo.cast import NAMES
from worker.demo.ledger import Leaver, told
from worker.demo.store_file import Kept
from worker.demo.traffic import Seen, Sent

OUTCOMES = ("applied", "duplicate", "parked", "rejected")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing counted three ways: from what was sent, on the topics, in the file. None where it does not show."""

    what: str
    sent: int | Decimal
    topics: int | Decimal | None
    file: int | Decimal | None

    @property
    def is_well(self) -> bool:
        """Whether the counts that there are agree."""
        return all(found is None or found == self.sent for found in (self.topics, self.file))


@dataclass(slots=True)
class Verdict:
    """What the comparison came to. `lost`, `repeated` and `wrong` have one sentence for each thing that is."""

    rows: list[Row]
    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether everything is as it must be."""
        return not (self.lost or self.repeated or self.wrong) and all(row.is_well for row in self.rows)

    def as_json(self) -> str:
        """The whole for a script; money as text."""
        rows = {row.what.strip(): {"sent": row.sent, "topics": row.topics, "file": row.file} for row in self.rows}
        findings = {"lost": self.lost, "repeated": self.repeated, "wrong": self.wrong}
        return json.dumps({"ok": self.is_well, **findings, "compared": rows}, default=str)


def judge(sent: Sequence[Sent], seen: Sequence[Seen], kept: Kept) -> Verdict:
    """Compare what was sent with the output topics, read to their end, and with the file."""
    verdict = Verdict(list(_rows(sent, seen, kept)))
    _judge_decisions(sent, kept, verdict)
    _judge_events(sent, seen, verdict)
    _judge_dead_letters(sent, seen, verdict)
    _judge_customers(sent, kept, verdict)
    return verdict


def _rows(sent: Sequence[Sent], seen: Sequence[Seen], kept: Kept) -> Iterator[Row]:
    events = [ledger.fields_of(record) for record in seen if record.output == "churned"]
    left = ledger.left(sent)
    expected = Counter(record.line.outcome for record in sent)
    found = Counter(map(ledger.final, ledger.decisions(kept).values()))
    yield Row("records decided", len(sent), None, sum(found[outcome] for outcome in OUTCOMES))
    for outcome in OUTCOMES:
        dead_letters = len(seen) - len(events) if outcome == "rejected" else None
        yield Row(f"  {outcome}", expected[outcome], dead_letters, found[outcome])
    yield Row("customers", len(ledger.signed_up(sent)), None, len(kept.customers))
    yield Row("  churned", len(left), len(events), len(kept.churned))
    yield Row(
        "ARR lost",
        sum((leaver.company.arr for leaver in left.values()), Decimal()),
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
    verdict.wrong.extend(f"record {place} was decided, but never sent" for place in decisions)


def _judge_events(sent: Sequence[Sent], seen: Sequence[Seen], verdict: Verdict) -> None:
    events = ledger.events_by_customer(seen)
    for customer_id, leaver in ledger.left(sent).items():
        found = events.pop(customer_id, [])
        name = f"customer.churned of {NAMES.get(customer_id, customer_id)}"
        if not found:
            verdict.lost.append(f"{name} is not on the topic")
        elif len(found) > 1:
            verdict.repeated.append(f"{name} is on the topic {len(found)} times")
        elif not _tells_of(found[0], leaver):
            verdict.wrong.append(f"{name} does not say {leaver.churn_date} and {leaver.company.arr}")
    verdict.wrong.extend(f"customer.churned of {customer_id}, who did not leave" for customer_id in events)


def _tells_of(event: Seen, leaver: Leaver) -> bool:
    fields = ledger.fields_of(event)
    expected = (leaver.churn_date, {"amount": str(leaver.company.arr), "currency": "USD"})
    return event.key == leaver.company.id.encode() and (fields.get("churn_date"), fields.get("lost_arr")) == expected


def _judge_dead_letters(sent: Sequence[Sent], seen: Sequence[Seen], verdict: Verdict) -> None:
    letters = ledger.letters_by_place(seen)
    for record in sent:
        line = record.line
        found = letters.pop((record.topic, record.partition, record.offset), [])
        name = f"the dead letter of {record.topic}/{record.partition}/{record.offset}"
        if len(found) > 1:
            verdict.repeated.append(f"{name} is there {len(found)} times")
        elif line.outcome == "rejected" and not found:
            verdict.lost.append(f"{name} is missing")
        elif found and (found[0].key, found[0].value, told(found[0], "reason")) != (line.key, line.value, line.reason):
            verdict.wrong.append(f"{name} is not the record as it was sent, or does not say {line.reason}")
    verdict.wrong.extend(f"a dead letter of {place}, which was never sent" for place in letters)


def _judge_customers(sent: Sequence[Sent], kept: Kept, verdict: Verdict) -> None:
    churn_dates = {customer_id: leaver.churn_date for customer_id, leaver in ledger.left(sent).items()}
    in_file = {customer.customer_id: customer for customer in kept.customers}
    for customer_id, company in ledger.signed_up(sent).items():
        customer = in_file.pop(customer_id, None)
        if customer is None:
            verdict.lost.append(f"customer {customer_id} is not in the file")
        elif (customer.mrr, customer.churn_date) != (Decimal(company.mrr), churn_dates.get(customer_id)):
            verdict.wrong.append(f"customer {customer_id} is not as it was sent")
    verdict.wrong.extend(f"customer {customer_id} is in the file, but never signed up" for customer_id in in_file)
