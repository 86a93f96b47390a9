"""Schemas of text in messages: customer ids, plan tiers, dates, amounts.

They accept exactly what `validation` accepts. `format` is an annotation that many validators ignore, and validators
disagree on leap seconds and offsets, so that every rule is a `pattern`. Patterns have no lookahead, which RE2 and Rust
lack. Python and Java let `$` match before a line end, so that `not` excludes characters that a pattern does not name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Schema = dict[str, Any]

UUID: Schema = {
    "type": "string",
    "pattern": "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$",
    "maxLength": 36,
}

TEXT: Schema = {"type": "string", "pattern": "^[\\x00-\ud7ff\ue000-\U0010ffff]*$"}
"""Text without surrogates. Only an escape such as `"\\ud800"` can produce one."""

SECONDS = ":([0-5][0-9]|60)(\\.[0-9]+)?"
_MONTH_AND_DAY = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
_YEAR = "[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3}"
_LEAP_YEAR = "[0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00"
DAY = f"(({_YEAR})-({_MONTH_AND_DAY})|({_LEAP_YEAR})-02-29)"
MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"


def any_case(word: str) -> Schema:
    """Return the schema of a word in any letter case: regular expressions of JSON Schema have no flag for it."""
    letters = "".join(f"[{letter.lower()}{letter.upper()}]" for letter in word)
    return {"pattern": f"^{letters}$", "maxLength": len(word)}


def date_schema(outside_the_calendar: Schema) -> Schema:
    """Return the schema of `YYYY-MM-DD`, or of an RFC 3339 date-time that is not of the other schema."""
    return {
        "type": "string",
        "pattern": f"^{DAY}([Tt ]{MINUTE}{SECONDS}([Zz]|[+-]{MINUTE}))?$",
        "not": {"anyOf": [{"pattern": "[^ -~]"}, outside_the_calendar]},
    }


def outside_the_calendar_schema() -> Schema:
    """Return the schema of date-times of the first and the last day whose date in UTC is in no year from 1 to 9999."""
    before = _offset_above("0001-01-01", "+", lambda hour: hour, lambda digit, _: digit)
    after = _offset_above("9999-12-31", "-", lambda hour: 23 - hour, lambda digit, last: last - digit)
    return {"anyOf": [before, after]}


def _offset_above(
    day: str, sign: str, hour_limit: Callable[[int], int], digit_limit: Callable[[int, int], int]
) -> Schema:
    """Return the schema of date-times of a day whose offset is above the limit that their time sets.

    Offset and limit are compared like two texts: by hours, by tens of minutes, by minutes.
    """

    def of_each(position: int, limits: Iterable[tuple[str, str]]) -> Schema:
        of_offset = f".*[{sign}].{{{position}}}"
        pairs = "|".join(f"{part}{of_offset}({limit})" for part, limit in limits if limit)
        return {"pattern": f"^{day}.{{{position + 1}}}({pairs})"}

    hours = [(f"{hour:02}", hour_limit(hour)) for hour in range(24)]
    tens = [(str(digit), digit_limit(digit, 5)) for digit in range(6)]
    units = [(str(digit), digit_limit(digit, 9)) for digit in range(10)]
    minutes = _above_or_equal(
        of_each(3, [(part, _digits_above(limit)) for part, limit in tens]),
        of_each(3, [(part, str(limit)) for part, limit in tens]),
        of_each(4, [(part, _digits_above(limit)) for part, limit in units]),
    )
    return _above_or_equal(
        of_each(0, [(part, _numbers_above(limit)) for part, limit in hours]),
        of_each(0, [(part, f"{limit:02}") for part, limit in hours]),
        minutes,
    )


def _above_or_equal(above: Schema, equal: Schema, then_above: Schema) -> Schema:
    return {"anyOf": [above, {"allOf": [equal, then_above]}]}


def _digits_above(digit: int) -> str:
    return f"[{digit + 1}-9]" if digit < 9 else ""  # noqa: PLR2004


def _numbers_above(number: int) -> str:
    """Return a pattern of the numbers of two digits above this one."""
    tens, units = divmod(number, 10)
    same_tens = f"{tens}{_digits_above(units)}" if _digits_above(units) else ""
    return "|".join(filter(None, [same_tens, f"{_digits_above(tens)}[0-9]"]))


_LARGEST_EXPONENT = 10


def amount_schema() -> Schema:
    """Return the schema of an amount: a decimal number as text or as a JSON number, at least 0 and below 10^12."""
    zero = "-?0+(\\.0+)?[eE][+-]?[0-9]{1,9}"
    small = "0*[0-9]{1,11}(\\.[0-9]+)?[eE]-[0-9]{1,9}"
    large = [
        f"0*[0-9]{{1,{11 - exponent}}}(\\.[0-9]+)?[eE]\\+?0?{exponent}" for exponent in range(_LARGEST_EXPONENT + 1)
    ]
    return {
        "anyOf": [
            {
                "title": "Decimal",
                "type": "string",
                "pattern": "^(0*[0-9]{1,12}(\\.[0-9]+)?|-0+(\\.0+)?)$",
                # An amount that is rounded up to 10^12, and any other character.
                "not": {"pattern": "^0*9{12}\\.9{6}[5-9]|[^-.0-9]"},
            },
            {
                "title": "DecimalWithExponent",
                "description": "A schema cannot compute a power of ten. This one accepts values below 10^11 with at "
                "most 11 digits before the point, leading zeros aside, and an exponent of at most 9 digits. The "
                "worker accepts every spelling of a value below 10^12.",
                "type": "string",
                "pattern": f"^({'|'.join([zero, small, *large])})$",
                "not": {"pattern": "[^-+.0-9eE]"},
            },
            {
                "title": "Number",
                "description": "The worker reads the digits as written. Most validators convert them to a binary "
                "floating point number first, and so can differ from it for a number that such a conversion rounds "
                "to 0 or to 10^12.",
                "type": "number",
                "minimum": 0,
                "maximum": 999_999_999_999.9999,
            },
        ]
    }
