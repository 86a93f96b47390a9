"""Lists of dead letters, printed as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from domain.customer import dollars
from worker.cli.shared import console, print_line
from worker.cli.tables import print_table
from worker.messages.record import rfc3339
from worker.stores.dead_letters import Group, Letter, grouped, total
from worker.text.ages import shown_age
from worker.text.printable import printable


def print_letters(letters: Sequence[Letter], *, limit: int, note: str, as_json: bool) -> None:
    """Print the letters in groups, then the oldest `limit` of them one by one."""
    groups = grouped(letters)
    if as_json:
        listed = [letter_as_json(letter) for letter in letters[:limit]]
        print(json.dumps({**groups_as_json(groups, letters), "letters": listed, "note": note or None}))
        return
    if not letters:
        print_line("No dead letters.")
    else:
        print_groups(groups, letters)
        _print_one_by_one(letters[:limit])
        if len(letters) > limit:
            print_line(f"… and {len(letters) - limit:,} more (--limit)")
    if note:
        print_line(f"Note: {note}.")


def shown_arr(amount: Decimal | None) -> str:
    """Format ARR in dollars, `unknown` if there is none."""
    return "unknown" if amount is None else dollars(amount)


def print_groups(groups: Sequence[Group], letters: Sequence[Letter]) -> None:
    """Print a row per state and reason, and the total."""
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
            shown_arr(letter.arr_at_stake),
            Text(printable(letter.message)),
        )
    console.print()
    print_table(table)


def groups_as_json(groups: Sequence[Group], letters: Sequence[Letter]) -> dict[str, Any]:
    """Return the groups and the totals of the letters."""
    return {
        "groups": [group_as_json(group) for group in groups],
        "count": len(letters),
        "arr_at_stake": str(total(letters)),
    }


def group_as_json(group: Group) -> dict[str, Any]:
    """Return one group."""
    made: dict[str, Any] = msgspec.to_builtins(group)
    return made


def letter_as_json(letter: Letter) -> dict[str, Any]:
    """Return one letter without its record."""
    made: dict[str, Any] = msgspec.to_builtins(letter)
    return {**made, "coordinates": letter.coordinates, "sent_at": rfc3339(letter.sent_at_ms)}
