"""Numbers of things, as people write them."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """So many of a thing: `1 customer`, `2,000 customers`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
