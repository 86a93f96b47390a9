"""Tables without truncated cells, so that their values can be copied from any terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_wide = Console(width=10_000, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table in its full width; a narrower terminal wraps it."""
    _wide.print(table, highlight=False)
