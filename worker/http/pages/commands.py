"""Commands of the command line, to be copied from a page: quoted for a shell, a dry run before its execution."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from worker.queries.letter_page import LetterGroup
from worker.stores.dead_letters import Filters

_LETTERS = ("customer-worker", "dead-letters")
_WHY = ("--why", "REASON")


class Command(NamedTuple):
    """A command, and what it does."""

    does: str
    text: str


def of_letters(filters: Filters) -> list[Command]:
    """Return the commands that redrive and discard the open letters which these filters select.

    There are none for a sender that is not printable: pasted into a terminal, control characters would take effect.
    """
    if not (filters.sender or "").isprintable():
        return []
    options = [
        *_option("--reason", filters.reason),
        *_option("--topic", filters.topic),
        *_option("--sender", filters.sender),
        *_option("--customer", filters.customer),
    ]
    return _redrive(options) + _discard(options)


def of_group(group: LetterGroup) -> list[Command]:
    """Return the commands for the open letters of a group."""
    return of_letters(Filters(topic=group.topic, reason=group.reason, sender=group.sender or ""))


def of_letter(letter_id: str) -> list[Command]:
    """Return the commands for one letter."""
    return [*_redrive(["--id", letter_id]), *_discard([letter_id])]


def of_parked(age: str) -> list[Command]:
    """Return the commands that make dead letters of parked cancellations over an age."""
    command = ["customer-worker", "parked", "dead-letter", "--older-than", age]
    return [
        Command("Count them (dry run)", shlex.join(command)),
        Command("Make dead letters of them", shlex.join([*command, "--execute"])),
    ]


def reconcile(since: str, until: str) -> Command:
    """Return the command that compares a range of days; an empty day is left out."""
    command = ["customer-worker", "reconcile", *_option("--from", since or None), *_option("--to", until or None)]
    return Command("Compare on the command line", shlex.join(command))


def _redrive(options: list[str]) -> list[Command]:
    command = [*_LETTERS, "redrive", *options]
    return [
        Command("Redrive, dry run", shlex.join(command)),
        Command("Redrive: send to the source topic again", shlex.join([*command, "--execute"])),
    ]


def _discard(options: list[str]) -> list[Command]:
    command = [*_LETTERS, "discard", *options]
    return [
        Command("Discard, dry run", shlex.join(command)),
        Command("Discard: exclude from redrives and replays", shlex.join([*command, *_WHY, "--execute"])),
    ]


def _option(name: str, value: str | None) -> list[str]:
    return [] if value is None else [name, value]
