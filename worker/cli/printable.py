"""What came from outside, made safe to print: a terminal obeys what it is sent."""

from __future__ import annotations

import re
from contextlib import suppress

import msgspec

MOST_NESTED = 200
"""The deepest JSON that is laid out: each level indents all lines inside it. How deep the parser goes differs between
versions of Python.
"""
_NO_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\[\]{}"]+', re.DOTALL).sub


def printable(text: str) -> str:
    """The text with every character that is not plainly printed as its escape, as Python writes it, line ends too."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def printable_bytes(data: bytes) -> str:
    """Bytes as text; those that are no UTF-8 as escapes."""
    return printable(data.decode(errors="backslashreplace"))


def pretty(value: bytes) -> tuple[str, str]:
    """What kind of value it is (`JSON`, `text` or `bytes`), and its lines, safe to print."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return "bytes", printable_bytes(value)
    kind = "text"
    if _depth(value) <= MOST_NESTED:
        with suppress(msgspec.DecodeError, ValueError):
            msgspec.json.decode(value)  # what reformats does not look at everything
            kind, text = "JSON", msgspec.json.format(value, indent=2).decode()
    return kind, "\n".join(map(printable, text.split("\n")))


def _depth(value: bytes) -> int:
    """How deep the value is nested, if it is JSON."""
    deepest = depth = 0
    for bracket in _NO_BRACKETS(b"", value):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
