"""Figures as text: rates, durations, amounts and moments."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from worker.text.ages import shown_age

_LARGE = ((10**9, "B"), (10**6, "M"), (10**3, "k"))


def count(number: float) -> str:
    """Format a number with separators, small ones with a decimal if they are not whole: `4,021`, `0.4`."""
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:,.1f}"  # noqa: PLR2004


def short(number: float) -> str:
    """Format a number with three digits at most: `4.02k`."""
    for size, unit in _LARGE:
        if number >= size:
            return f"{number / size:.3g}{unit}" if number < 1_000 * size else f"{number / size:,.0f}{unit}"
    return f"{number:.3g}"


def short_dollars(amount: Decimal) -> str:
    """Format an amount with three digits at most: `$5.99k`."""
    return f"${short(float(amount))}"


def duration(seconds: float) -> str:
    """Format a measured duration: `42 ms`, `3.2 s`, `5 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    return shown_age(timedelta(seconds=seconds))


def age(since: datetime | None, now: datetime) -> str:
    """Format the time since a moment, empty if there is none."""
    return "" if since is None else shown_age(now - since)


def moment(at: datetime) -> str:
    """Format a moment: `2026-06-30 12:00:00 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def size(size_bytes: int) -> str:
    """Format a size in bytes: `5.0 MiB`."""
    return f"{size_bytes / 1024**2:,.1f} MiB" if size_bytes >= 1024**2 // 10 else f"{size_bytes:,} bytes"


def day(of: date) -> str:
    """Format a day without its year: `30 Jun`."""
    return f"{of.day} {of:%b}"
