"""Dead letters on the screen, and as JSON. Whatever came from outside is escaped: a terminal obeys what it is sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from domain.customer import dollars
from worker.cli.ages import shown_age
from worker.cli.printable import pretty, printable, printable_bytes
from worker.cli.shared import console
from worker.cli.tables import print_table
from worker.messages.record import rfc3339
from worker.redrive.selection import Plan, Sent
from worker.stores.dead_letters import Group, Letter, LetterRecord, State, grouped, total

SHOWN_OF_A_VALUE = 64 * 1024


def print_letters(letters: Sequence[Letter], *, limit: int, note: str, as_json: bool) -> None:
    """The letters in groups, then the oldest `limit` of them one by one."""
    groups = grouped(letters)
    if as_json:
        listed = [_letter(letter) for letter in letters[:limit]]
        print(json.dumps({**_groups(groups, letters), "letters": listed, "note": note or None}))
        return
    if not letters:
        console.print("No dead letters.")
    else:
        _print_groups(groups, letters)
        _print_one_by_one(letters[:limit])
        if len(letters) > limit:
            console.print(f"… and {len(letters) - limit:,} more (--limit)", highlight=False)
    if note:
        console.print(f"Note: {note}.", highlight=False)


def print_plan(plan: Plan, *, heading: str) -> None:
    """What is to be done with which letters, and what is left out."""
    console.print(heading, highlight=False)
    if plan.letters:
        _print_groups(plan.groups, plan.letters)
    for why, letters in sorted(plan.left_out.items()):
        console.print(f"Left out: {letters:,} {_LEFT_OUT.get(why, why)}", highlight=False)


_LEFT_OUT = {
    "redriven": "redriven already and not decided yet",
    "applied": "that took effect since",
    "refused_again": "redriven and refused again: what came of that is a letter of its own",
    "discarded": "discarded",
    "redriven_too_often": "redriven as often as --max-redrives allows",
}


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """The plan, every letter named."""
    return {
        **_groups(plan.groups, plan.letters),
        "letters": [letter.coordinates for letter in plan.letters],
        "left_out": plan.left_out,
    }


def print_sent(sent: Sent) -> None:
    """What was sent, and what came of it."""
    console.print(f"Sent {sent.sent:,} records.", highlight=False)
    for each in sent.too_large:
        console.print(
            f"Not sent: {each} is larger than its topic takes. Raise the topic's max.message.bytes, then redrive it",
            markup=False,
            highlight=False,
        )
    for group in sent.decided or ():
        console.print(
            f"{_WHAT_BECAME[group.state.value]}: {group.letters:,} of {group.reason}, {dollars(group.arr_at_stake)}",
            highlight=False,
        )
    if sent.undecided:
        console.print(f"Not read by the worker yet: {sent.undecided:,}", highlight=False)


_WHAT_BECAME = {
    "applied": "Applied",
    "refused_again": "Refused again",
    "redriven": "Waiting for a signup",
    "discarded": "Discarded",
}


def sent_as_json(sent: Sent) -> dict[str, Any]:
    """What was sent, and what came of it."""
    return {
        "sent": sent.sent,
        "too_large": sent.too_large,
        "decided": None if sent.decided is None else [_group(group) for group in sent.decided],
        "undecided": sent.undecided,
    }


def _money(amount: Decimal | None) -> str:
    return "unknown" if amount is None else dollars(amount)


def _print_groups(groups: Sequence[Group], letters: Sequence[Letter]) -> None:
    table = Table("state", "reason", box=None, pad_edge=False)
    for column in ("letters", "ARR at stake", "unknown"):
        table.add_column(column, justify="right")
    for group in groups:
        unknown = f"{group.unknown:,}" if group.unknown else ""
        stake = dollars(group.arr_at_stake)
        table.add_row(group.state.replace("_", " "), group.reason, f"{group.letters:,}", stake, unknown)
    table.add_row("total", "", f"{len(letters):,}", dollars(total(letters)), "", style="bold")
    print_table(table)


def _print_one_by_one(letters: Sequence[Letter]) -> None:
    now = datetime.now(UTC)
    table = Table("letter", "state", "age", "reason", "redrives", "customer", "ARR at stake", "message", box=None)
    for letter in letters:
        table.add_row(
            letter.coordinates,
            letter.state.replace("_", " "),
            shown_age(now - letter.refused_at),
            letter.reason,
            str(letter.redrives),
            letter.customer_id or "unknown",
            _money(letter.arr_at_stake),
            Text(printable(letter.message)),
        )
    console.print()
    print_table(table)


def _groups(groups: Sequence[Group], letters: Sequence[Letter]) -> dict[str, Any]:
    return {
        "groups": [_group(group) for group in groups],
        "count": len(letters),
        "arr_at_stake": str(total(letters)),
    }


def _group(group: Group) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(group)
    return made


def _letter(letter: Letter) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(letter)
    return {**made, "coordinates": letter.coordinates, "sent_at": rfc3339(letter.sent_at_ms)}


def print_record(letter: Letter, record: LetterRecord) -> None:
    """One letter and its record as it came, every byte of it safe to print."""
    age = shown_age(datetime.now(UTC) - letter.refused_at)
    lines = [
        ("letter", letter.id),
        ("state", _state(letter)),
        ("reason", f"{letter.reason}: {letter.message}"),
        ("refused", f"{letter.refused_at:%Y-%m-%d %H:%M:%S} UTC, {age} ago"),
        ("sent", rfc3339(letter.sent_at_ms) if letter.sent_at_ms >= 0 else "unknown"),
        ("redriven", f"{letter.redrives} times before"),
        ("customer", letter.customer_id or "unknown"),
        ("ARR at stake", _money(letter.arr_at_stake)),
        ("key", "none" if record.key is None else printable_bytes(record.key)),
        *(("header", f"{printable_bytes(name)}: {_or_none(text)}") for name, text in record.headers),
    ]
    for name, text in lines:
        _print(f"{name:<14}{printable(text)}")
    if record.value is None:
        _print("value         none")
        return
    kind, shown = pretty(record.value[:SHOWN_OF_A_VALUE])
    _print(f"value         {len(record.value):,} bytes, {kind}:\n\n{shown}")
    if len(record.value) > SHOWN_OF_A_VALUE:
        _print(f"\n… the first {SHOWN_OF_A_VALUE:,} bytes; --raw writes all of them")


def record_as_json(letter: Letter, record: LetterRecord) -> dict[str, Any]:
    """The letter and its record: bytes in base64, and as text where they are UTF-8."""
    return {
        **_letter(letter),
        "key": _bytes(record.key),
        "headers": [{"name": _bytes(name), "value": _bytes(text)} for name, text in record.headers],
        "value": _bytes(record.value),
    }


def _bytes(data: bytes | None) -> dict[str, str | None] | None:
    if data is None:
        return None
    try:
        text: str | None = data.decode()
    except UnicodeDecodeError:
        text = None
    return {"text": text, "base64": base64.b64encode(data).decode()}


def _or_none(data: bytes | None) -> str:
    return "(null)" if data is None else printable_bytes(data)


def _state(letter: Letter) -> str:
    state = letter.state.replace("_", " ")
    if letter.state is State.DISCARDED:
        state = f"{state}: {letter.discarded_because}"
    if letter.redriven_to is not None:
        state = f"{state}, as {letter.redriven_to} ({letter.redrive_outcome or 'not decided'})"
    return state


def _print(line: str) -> None:
    console.print(line, markup=False, highlight=False)
