"""Output of a dead letter and its record, as text and as JSON.

Everything that comes from a record is escaped: it may contain control sequences of terminals.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from worker.cli.dead_letter_tables import letter_as_json, shown_arr
from worker.cli.shared import print_line
from worker.messages.record import rfc3339
from worker.stores.dead_letters import Letter, LetterRecord, State
from worker.text.ages import shown_age
from worker.text.printable import pretty, printable, printable_bytes

MAX_VALUE_BYTES = 64 * 1024
"""Maximum number of bytes of a value that are printed."""


def print_record(letter: Letter, record: LetterRecord) -> None:
    """Print a letter and its record."""
    age = shown_age(datetime.now(UTC) - letter.refused_at)
    lines = [
        ("letter", letter.id),
        ("state", _state(letter)),
        ("reason", f"{letter.reason}: {letter.message}"),
        ("refused", f"{letter.refused_at:%Y-%m-%d %H:%M:%S} UTC, {age} ago"),
        ("sent", rfc3339(letter.sent_at_ms) if letter.sent_at_ms >= 0 else "unknown"),
        ("redriven", f"{letter.redrives} times before"),
        ("customer", letter.customer_id or "unknown"),
        ("ARR at stake", shown_arr(letter.arr_at_stake)),
        ("key", "none" if record.key is None else printable_bytes(record.key)),
        *(("header", f"{printable_bytes(name)}: {_or_none(text)}") for name, text in record.headers),
    ]
    for name, text in lines:
        print_line(f"{name:<14}{printable(text)}")
    if record.value is None:
        print_line("value         none")
        return
    kind, shown = pretty(record.value[:MAX_VALUE_BYTES])
    print_line(f"value         {len(record.value):,} bytes, {kind}:\n\n{shown}")
    if len(record.value) > MAX_VALUE_BYTES:
        print_line(f"\n… the first {MAX_VALUE_BYTES:,} bytes; --raw writes all of them")


def record_as_json(letter: Letter, record: LetterRecord) -> dict[str, Any]:
    """Return a letter and its record: bytes in base64, and as text if they are UTF-8."""
    return {
        **letter_as_json(letter),
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
