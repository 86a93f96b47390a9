"""Escaping of external data: it may contain control sequences of terminals."""

from __future__ import annotations

import json
import re
from contextlib import suppress

import msgspec

MOST_NESTED = 200
"""The deepest JSON that is indented: each level widens all lines inside it. The parser's own limit depends on the
version of Python.
"""
_NO_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\[\]{}"]+', re.DOTALL).sub


def printable(text: str) -> str:
    """Escape every character that is not printable, line ends included."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def json_line(value: object) -> str:
    """Encode a value as one line of JSON in ASCII."""
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def printable_bytes(data: bytes) -> str:
    """Decode bytes; those that are not UTF-8 are escaped."""
    return printable(data.decode(errors="backslashreplace"))


def pretty(value: bytes) -> tuple[str, str]:
    """Return the kind of a value (`JSON`, `text` or `bytes`), and its escaped lines."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return "bytes", printable_bytes(value)
    kind = "text"
    if _depth(value) <= MOST_NESTED:
        with suppress(msgspec.DecodeError, ValueError):
            msgspec.json.decode(value)  # `format` does not validate everything
            kind, text = "JSON", msgspec.json.format(value, indent=2).decode()
    return kind, "\n".join(map(printable, text.split("\n")))


def _depth(value: bytes) -> int:
    """Return the nesting depth of a JSON value."""
    deepest = depth = 0
    for bracket in _NO_BRACKETS(b"", value):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
