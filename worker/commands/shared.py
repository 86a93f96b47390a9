"""What all commands print with and run in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer
import uvloop
from rich.console import Console

T = TypeVar("T")

console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def run_async(task: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end."""
    return uvloop.run(task())
