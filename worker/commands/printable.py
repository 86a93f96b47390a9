"""What came from outside, made safe to print: a terminal obeys what it is sent."""

from __future__ import annotations

import msgspec


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
    try:
        msgspec.json.decode(value)  # what reformats does not look at everything
        kind, text = "JSON", msgspec.json.format(value, indent=2).decode()
    except (msgspec.DecodeError, ValueError, RecursionError):
        kind = "text"
    return kind, "\n".join(map(printable, text.split("\n")))
