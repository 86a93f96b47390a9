"""Ages on the command line: `30d`, `12h`, `45m`."""

from __future__ import annotations

import re
from datetime import timedelta

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36_525)
_AGE = re.compile(r"([0-9]{1,6})([smhdw])").fullmatch


def age_from(text: str) -> timedelta:
    """Parse an age. Raises `typer.BadParameter`."""
    match = _AGE(text)
    if match is None:
        raise typer.BadParameter("an age is a number and its unit: 45m, 12h, 30d, 2w")
    age = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if age > _LONGEST:
        raise typer.BadParameter("an age is at most 100 years")
    return age


def shown_age(age: timedelta) -> str:
    """Format an age in its largest whole unit, such as `3 h`."""
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
