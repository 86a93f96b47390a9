"""Consoles, options and the event loop that all commands share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer
import uvloop
from rich.console import Console

from worker.messages.validation import FieldRefused, customer_id_from

T = TypeVar("T")

console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Execute = Annotated[bool, typer.Option("--execute", help="Execute it. Default: dry run.")]


def print_line(text: str) -> None:
    """Print text unchanged: rich interprets no markup in it and highlights nothing."""
    console.print(text, markup=False, highlight=False)


def print_error(text: str) -> None:
    """Print an error to standard error."""
    errors.print(text, style="red", markup=False, highlight=False)


def customer_id_typed(text: str) -> str:
    """Parse a customer id into lower case. Raises `typer.BadParameter`."""
    try:
        return customer_id_from(text)
    except FieldRefused as refused:
        raise typer.BadParameter(str(refused)) from None


def time_typed(text: str) -> datetime:
    """Parse an ISO 8601 time, in UTC if it has no zone. Raises `typer.BadParameter`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("a time is written as 2026-07-01T03:00, or with a zone as 2026-07-01T03:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def named(name: str, parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return a parser under the name that `--help` shows as the type of its argument."""

    @wraps(parse)
    def parser(text: str) -> T:
        return parse(text)

    parser.__name__ = name
    return parser


def run_async(task: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end."""
    return uvloop.run(task())
