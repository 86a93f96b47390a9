"""Depth of JSON values: at most `MAX_DEPTH` levels are accepted.

The parser's own limit is Python's recursion limit: the same value is accepted or refused depending on the call stack
and on the version of Python, so that a record read again could have another outcome.
"""

from __future__ import annotations

import re

MAX_DEPTH = 128
"""Arrays and objects that can be open at once."""
SHALLOW_BYTES = 2 * MAX_DEPTH
"""No value of this size is too deep: each level takes two bytes."""

# An unclosed text extends to the end: a pattern that fails there takes quadratic time.
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_OPENING = frozenset(b"[{")
_OTHER_BYTES = bytes(set(range(256)).difference(b"[]{}"))


class NestedTooDeepError(ValueError):
    """A value with more than `MAX_DEPTH` levels."""


def is_too_deep(value: bytes) -> bool:
    """Return whether the value has more than `MAX_DEPTH` levels."""
    if len(value) <= SHALLOW_BYTES or value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _TEXT.sub(b"", value).translate(None, _OTHER_BYTES):
        depth += 1 if bracket in _OPENING else -1
        if depth > MAX_DEPTH:
            return True
    return False


def require_shallow(value: bytes) -> None:
    """Raise `NestedTooDeepError` if the value has more than `MAX_DEPTH` levels."""
    if is_too_deep(value):
        raise NestedTooDeepError
