"""Header values that an event takes over from its cause: validation for CloudEvents, and times in one form.

Subscribers parse these values with the SDKs of CloudEvents, which fail on values that the specification forbids.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

MAX_BYTES = 4096
"""The largest value taken over. A larger one could make the event exceed the limit of its topic."""

_PLAIN = re.compile(rb"[ -~]{1,%d}" % MAX_BYTES).fullmatch
# Control characters and noncharacters, which the type String of CloudEvents leaves out.
_NONCHARACTERS = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef{_NONCHARACTERS}]").search


def is_text(value: bytes) -> bool:
    """Return whether the value is a String as CloudEvents defines it, and not too large."""
    if _PLAIN(value):
        return True
    try:
        return 0 < len(value) <= MAX_BYTES and not _FORBIDDEN(value.decode())
    except UnicodeDecodeError:
        return False


# The usual form, with a day that every month has: no calendar check is needed.
_USUAL = re.compile(
    rb"(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    rb"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?Z"
).fullmatch
_RFC3339 = re.compile(
    rb"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-5][0-9]):([0-5][0-9]|60)(?:(\.[0-9]{1,9})[0-9]*)?"
    rb"(?:[Zz]|([+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
).fullmatch


def time_in_utc(value: bytes) -> bytes | None:
    """Convert an RFC 3339 date-time to UTC, with `T`, `Z` and at most nine digits of a second; None if it is invalid.

    A leap second becomes the second after it, which SDKs can read. The result depends on the value alone, so that a
    replay makes the same event.
    """
    if _USUAL(value):
        return value
    match = _RFC3339(value)
    if match is None:
        return None
    day, minute, second, fraction, offset = (part.decode() if part else "" for part in match.groups())
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}{offset or '+00:00'}").astimezone(UTC)
        moment += timedelta(seconds=int(second))
    except (ValueError, OverflowError):
        return None
    return f"{moment:%H:%M:%S}".join((f"{moment.date()}T", f"{fraction}Z")).encode()
