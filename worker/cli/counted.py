"""Counts with their noun."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """Format a count: `1 customer`, `2,000 customers`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
