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
