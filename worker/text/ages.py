"""Ages as text."""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def shown_age(age: timedelta) -> str:
    """Format an age in its largest whole unit, such as `3 h`."""
    seconds = max(0, int(age.total_seconds()))
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
