"""`customer-worker explain`: everything that ever came for one customer."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from domain.customer import dollars
from worker.cli.printable import printable, printable_bytes
from worker.cli.shared import AsJson, console, customer_id_typed, run_async
from worker.errors import Exit, Refusal
from worker.queries.catalogue import STORY
from worker.queries.client import ask
from worker.queries.explain import CustomerHistory, CustomerNow, ExplainedDecision, ExplainQuery
from worker.queries.topic_lookup import EventPlace, RecordLookup, TopicLookup, look_up_topics
from worker.settings import Settings

SHOWN_OF_A_VALUE = 2_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    customer_id: Annotated[
        str, typer.Argument(parser=customer_id_typed, metavar="CUSTOMER_ID", help="The customer's id, a UUID.")
    ],
    as_json: AsJson = False,
) -> None:
    """Everything that ever came for a customer: what it said, what was decided and why, and the event it brought.

    Without Kafka it tells what the store knows, and ends with 69.

    Example: customer-worker explain 6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77
    """
    settings = Settings.read()
    story, told, away = run_async(lambda: _tell(settings, ExplainQuery(customer_id)))
    if as_json:
        print(msgspec.json.encode(_as_json(story, told, away)).decode())
    else:
        _print(story, told)
    if away is not None:
        raise away


async def _tell(settings: Settings, whose: ExplainQuery) -> tuple[CustomerHistory, TopicLookup, Refusal | None]:
    """The story, what the topics tell of it, and what keeps them from telling."""
    story = await ask(settings, STORY, whose)
    if story.is_empty:
        raise Refusal(
            f"nothing is known of the customer {whose.customer_id}: no record about it was read yet "
            "(`customer-worker status` says how much is unread), or none whose customer_id could be read "
            "(`customer-worker dead-letters list`)",
            Exit.NO,
        )
    try:
        return story, await look_up_topics(settings, story), None
    except Refusal as refusal:
        if refusal.code is not Exit.UNREACHABLE:
            raise
        return story, TopicLookup({}, {}), refusal


def _as_json(story: CustomerHistory, told: TopicLookup, away: Refusal | None) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(story)
    for step, said in zip(made["steps"], story.steps, strict=True):
        step["said"] = _said_as_json(told.said.get(said.place))
        step["event"] = told.events.get(said.event_id or "")
    return {**made, "kafka": None if away is None else str(away)}


def _said_as_json(said: RecordLookup | None) -> dict[str, str | None] | None:
    if said is None:
        return None
    text = None if said.value is None else said.value.decode(errors="backslashreplace")
    return {"value": text, "note": said.note or None}


def _print(story: CustomerHistory, told: TopicLookup) -> None:
    _line(f"Customer {story.customer_id}")
    _line(f"  {_now(story.customer)}")
    for waiting in story.waiting:
        _line(
            f"  parked since {waiting.parked_at:%Y-%m-%d %H:%M:%S} UTC: a cancellation for "
            f"{waiting.cancellation_date or 'an unreadable date'}, {waiting.coordinates}"
        )
    for step in story.steps:
        _line("")
        _line(f"{step.at:%Y-%m-%d %H:%M:%S.%f} UTC  {step.topic}/{step.partition}/{step.offset}  {_outcome(step)}")
        for name, text in _details(step, told):
            _line(f"  {name:<6} {text}")


def _now(customer: CustomerNow | None) -> str:
    if customer is None:
        return "has not signed up"
    particulars = f"{customer.plan_tier.value}, {customer.industry.value}, signed up {customer.signup_date}"
    money = f"MRR {dollars(customer.mrr)}, ARR {dollars(customer.arr)}"
    if customer.churn_date is None:
        return f"active: {particulars}, {money}"
    return f"left {customer.churn_date}, after {customer.tenure_days:,} days: {particulars}, {money}"


def _outcome(step: ExplainedDecision) -> str:
    return step.outcome if step.reason is None else f"{step.outcome} {step.reason}"


def _details(step: ExplainedDecision, told: TopicLookup) -> list[tuple[str, str]]:
    details = [("why", printable(step.why))]
    if step.letter_state is not None:
        details.append(("letter", step.letter_state.replace("_", " ")))
    if (said := told.said.get(step.place)) is not None:
        details.append(("said", _said(said)))
    if step.event_id is not None:
        details.append(("event", f"{step.event_id} {_event(told.events.get(step.event_id), step)}"))
    return details


def _said(said: RecordLookup) -> str:
    if said.value is None:
        return f"({said.note})"
    shown = printable_bytes(said.value[:SHOWN_OF_A_VALUE])
    rest = len(said.value) - SHOWN_OF_A_VALUE
    return shown if rest <= 0 else f"{shown} … and {rest:,} more bytes (--json has all)"


def _event(place: EventPlace | None, step: ExplainedDecision) -> str:
    if place is None:
        return "published" if step.is_published else "not published yet"
    if place.offset is not None:
        return f"at {place.topic}/{place.partition}/{place.offset}"
    where = place.topic if place.partition is None else f"{place.topic}/{place.partition}"
    return f"on {where}: {place.note}"


def _line(text: str) -> None:
    console.print(text, markup=False, highlight=False)
