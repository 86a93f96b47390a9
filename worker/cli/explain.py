"""`customer-worker explain`: the history of one customer."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from domain.customer import dollars
from worker.cli.shared import AsJson, customer_id_typed, named, print_line, run_async
from worker.errors import Exit, Refusal
from worker.queries.catalogue import HISTORY
from worker.queries.client import run_query
from worker.queries.explain import CustomerHistory, CustomerNow, ExplainedDecision, ExplainQuery
from worker.queries.topic_lookup import EventLookup, RecordLookup, TopicLookup, look_up_topics
from worker.settings import Settings
from worker.text.printable import json_line, printable, printable_bytes

MAX_VALUE_BYTES = 2_000
"""Maximum number of bytes of a value that are printed."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    customer_id: Annotated[
        str,
        typer.Argument(
            parser=named("uuid", customer_id_typed), metavar="CUSTOMER_ID", help="The customer's id, a UUID."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show the history of a customer: records, decisions with their reasons, and the event.

    Without Kafka, print the history from the store and exit with 69.

    Example: customer-worker explain 6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77
    """
    settings = Settings.read()
    history, lookup, unreachable = run_async(lambda: _read(settings, ExplainQuery(customer_id)))
    if as_json:
        print(json_line(_as_json(history, lookup, unreachable)))
    else:
        _print(history, lookup)
    if unreachable is not None:
        raise unreachable


async def _read(settings: Settings, query: ExplainQuery) -> tuple[CustomerHistory, TopicLookup, Refusal | None]:
    """Read the history, and look up its records. If Kafka cannot be reached, the lookup is empty."""
    history = await run_query(settings, HISTORY, query)
    if history.is_empty:
        raise Refusal(
            f"customer {query.customer_id} not found: no record of it was read yet (`customer-worker status` "
            "shows the lag), or its customer_id could not be decoded (`customer-worker dead-letters list`)",
            Exit.NO,
        )
    try:
        return history, await look_up_topics(settings, history), None
    except Refusal as refusal:
        if refusal.code is not Exit.UNREACHABLE:
            raise
        return history, TopicLookup({}, {}), refusal


def _as_json(history: CustomerHistory, lookup: TopicLookup, unreachable: Refusal | None) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(history)
    for made_step, step in zip(made["steps"], history.steps, strict=True):
        made_step["said"] = _record_as_json(lookup.records.get(step.coordinates))
        made_step["event"] = lookup.events.get(step.event_id or "")
    return {**made, "kafka": None if unreachable is None else str(unreachable)}


def _record_as_json(record: RecordLookup | None) -> dict[str, str | None] | None:
    if record is None:
        return None
    text = None if record.value is None else record.value.decode(errors="backslashreplace")
    return {"value": text, "note": record.note or None}


def _print(history: CustomerHistory, lookup: TopicLookup) -> None:
    print_line(f"Customer {history.customer_id}")
    print_line(f"  {_now(history.customer)}")
    for waiting in history.waiting:
        print_line(
            f"  parked since {waiting.parked_at:%Y-%m-%d %H:%M:%S} UTC: a cancellation for "
            f"{waiting.cancellation_date or 'an unreadable date'}, {waiting.coordinates}"
        )
    for step in history.steps:
        print_line("")
        print_line(f"{step.at:%Y-%m-%d %H:%M:%S.%f} UTC  {step.topic}/{step.partition}/{step.offset}  {_outcome(step)}")
        for name, text in _details(step, lookup):
            print_line(f"  {name:<6} {text}")


def _now(customer: CustomerNow | None) -> str:
    if customer is None:
        return "has not signed up"
    particulars = f"{customer.plan_tier.value}, {customer.industry.value}, signed up {customer.signup_date}"
    money = f"MRR {dollars(customer.mrr)}, ARR {dollars(customer.arr)}"
    if customer.churn_date is None:
        return f"active: {particulars}, {money}"
    return f"churned {customer.churn_date}, after {customer.tenure_days:,} days: {particulars}, {money}"


def _outcome(step: ExplainedDecision) -> str:
    return step.outcome if step.reason is None else f"{step.outcome} {step.reason}"


def _details(step: ExplainedDecision, lookup: TopicLookup) -> list[tuple[str, str]]:
    details = [("reason", printable(step.why))]
    if step.letter_state is not None:
        details.append(("letter", step.letter_state.replace("_", " ")))
    if (record := lookup.records.get(step.coordinates)) is not None:
        details.append(("record", _value(record)))
    if step.event_id is not None:
        details.append(("event", f"{step.event_id} {_event(lookup.events.get(step.event_id), step)}"))
    return details


def _value(record: RecordLookup) -> str:
    if record.value is None:
        return f"({record.note})"
    shown = printable_bytes(record.value[:MAX_VALUE_BYTES])
    rest = len(record.value) - MAX_VALUE_BYTES
    return shown if rest <= 0 else f"{shown} … and {rest:,} more bytes (--json has all)"


def _event(event: EventLookup | None, step: ExplainedDecision) -> str:
    if event is None:
        return "published" if step.is_published else "not published yet"
    if event.offset is not None:
        return f"at {event.topic}/{event.partition}/{event.offset}"
    where = event.topic if event.partition is None else f"{event.topic}/{event.partition}"
    return f"on {where}: {event.note}"
