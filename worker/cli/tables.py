"""Tables in which nothing is cut short, however narrow the terminal: what they name is there to be copied."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_wide = Console(width=10_000, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print it as wide as it is; a terminal wraps what is wider than itself."""
    _wide.print(table, highlight=False)
