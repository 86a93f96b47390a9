"""Dates as JSON tokens: the calendar's ends, leap seconds, offsets, fractions, week dates, and what is no date."""

import datetime as dt
from collections.abc import Callable

from tests.fuzz.dice import Dice
from tests.fuzz.fields import NO_TEXTS
from tests.fuzz.texts import altered, spelled

_YEARS = [0, 1, 1, 4, 99, 100, 400, 1582, 1900, 1969, 1970, 2000, 2023, 2024, 2026, 2038, 2100, 9998, 9999, 9999, 10000]
_DAYS = ["01-01", "12-31", "12-30", "02-28", "02-29", "02-30", "04-30", "04-31", "06-30", "00-10", "13-10", "06-00"]
_DAYS += ["01-02", "03-00", "10-32", "1-5", "0101", "W01-1", "W53-7", "W03", "366", "015", "12", ""]
_HOURS = [0, 0, 1, 9, 10, 13, 14, 19, 22, 23, 23, 24, 25]
_MINUTES = [0, 0, 1, 9, 30, 58, 59, 59, 60]
_SECONDS = [":00", ":00", ":01", ":59", ":60", ":60", ":61", "", ":5"]
_FRACTIONS = [
    "",
    "",
    "",
    ".0",
    ".5",
    ".25",
    ".000",
    ".123456",
    ".123456789",
    ".999999999999",
    ".",
    ",5",
    "." + "1" * 200,
]
_FRACTIONS += ["." + "9" * 5000, ".-1", ".\u0661"]
_ZONES = [
    "Z",
    "z",
    "Z",
    "",
    "+0100",
    "+01",
    "-00:00",
    "+00:00",
    " UTC",
    "+24:00",
    "+23:59",
    "-23:59",
    "[Europe/Paris]",
    "ZZ",
]


def instant(dice: Dice, day: str) -> str:
    """Return a date-time on this day, in UTC or in any zone, in any form and mostly valid."""
    return "".join(
        (
            day,
            dice.pick(("T", "T", "T", "t", " ", "_", "")),
            f"{dice.pick(_HOURS):02}:{dice.pick(_MINUTES):02}",
            dice.pick(_SECONDS),
            dice.pick(_FRACTIONS),
            dice.pick(_ZONES)
            if dice.chance(0.5)
            else f"{dice.pick('+-')}{dice.pick(_HOURS):02}:{dice.pick(_MINUTES):02}",
        )
    )


def any_day(dice: Dice) -> str:
    """Return a date near a border of the calendar, or none of it."""
    return f"{dice.pick(_YEARS):04}-{dice.pick(_DAYS)}"


def same_day(dice: Dice, day: dt.date) -> str:
    """Return a date-time in any zone that is on this day in UTC; the day itself near the ends of the calendar."""
    offset = dt.timezone(dt.timedelta(minutes=dice.below(48 * 60 - 1) - 24 * 60 + 1))
    if not 2 < day.year < 9998:
        return day.isoformat()
    time = dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(seconds=dice.below(86_400))
    return time.astimezone(offset).isoformat()


_NO_DATES = [*NO_TEXTS, "20260115", "1768435200", "1768435200000.5"]
_DATES: list[Callable[[Dice, dt.date], str]] = [
    *[same_day] * 3,
    *[lambda dice, _: instant(dice, any_day(dice))] * 2,
    lambda dice, day: instant(dice, day.isoformat()),
    lambda dice, _: any_day(dice),
    lambda dice, day: altered(dice, day.isoformat()),
    lambda dice, _: altered(dice, instant(dice, any_day(dice))),
]


def odd_date(dice: Dice, day: dt.date) -> str:
    """Return the token of a date in any form."""
    return dice.pick(_NO_DATES) if dice.chance(0.1) else spelled(dice, dice.pick(_DATES)(dice, day))
