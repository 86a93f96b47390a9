"""What all commands print with and run in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer
import uvloop
from rich.console import Console

from worker.messages.validation import FieldRefused, customer_id_from

T = TypeVar("T")

console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def customer_id_typed(text: str) -> str:
    """The customer id that was typed, in lower case. Raises `typer.BadParameter`."""
    try:
        return customer_id_from(text)
    except FieldRefused as refused:
        raise typer.BadParameter(str(refused)) from None


def run_async(task: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end."""
    return uvloop.run(task())
