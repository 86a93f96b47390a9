"""Texts and their spelling in JSON: escapes, normalisation forms, bidirectional marks, surrogates, controls."""

from collections.abc import Callable
from json.encoder import encode_basestring, encode_basestring_ascii

from tests.fuzz.dice import Dice

TEXTS = [
    "",
    " ",
    "x",
    "FinTech",
    "too_expensive",
    "Fin\0Tech",
    "\0",
    "é",
    "e\u0301",
    "\u00c5",
    "A\u030a",
    "\u212b",
    "\ufb01ntech",
    "\u017fpace",
    "\u0130",
    "\u212a",
    "\u202eFinTech",
    "\u2066x\u2069",
    "\ufeffx",
    "\u200d\u200b",
    "日本",
    "😀",
    "👩\u200d👩\u200d👧",
    "\ud83d",
    "\udc00\ud83d",
    "\udfff",
    "\ufffe",
    "\uffff",
    "\ufdd0",
    "\U0010ffff",
    "\U0001fffe",
    "\ue000",
    "\x7f",
    "\x1f",
    "\x80\x9f",
    "\u0085",
    "\u2028\u2029",
    "\t\n\r\b\f",
    '"',
    "\\",
    "\\u0041",
    "/",
    "{}",
    "null",
    "0",
    "<script>alert(1)</script>",
    "=1+1",
    "'; DROP TABLE customers; --",
    "%s%n",
    "\x1b[31m",
    "x" * 36,
    "x" * 199,
    "x" * 200,
    "x" * 201,
    "é" * 200,
    "😀" * 200,
    "😀" * 201,
    "e\u0301" * 100,
    "\\" * 200,
    "x" * 5000,
]
_RANGES = [(0x20, 0x7F), (0, 0x20), (0x80, 0x800), (0x800, 0xD800), (0xD800, 0xE000), (0xE000, 0x10000)]
_RANGES += [(0x10000, 0x110000), (0x660, 0x66A), (0xFF10, 0xFF1A), (0x200B, 0x2070)]


def any_text(dice: Dice) -> str:
    """Return any text, one of the list or random characters; it may contain lone surrogates."""
    if dice.chance(0.7):
        return dice.pick(TEXTS)
    return "".join([any_character(dice) for _ in range(dice.below(12))])


def any_character(dice: Dice) -> str:
    """Return any code point."""
    first, end = dice.pick(_RANGES)
    return chr(first + dice.below(end - first))


def spelled(dice: Dice, text: str) -> str:
    """Spell a text as a JSON token: mostly as it is, else with escapes that JSON allows."""
    form = dice.random()
    if form < 0.75:
        return encode_basestring(text)
    if form < 0.9 or len(text) > 300:
        return encode_basestring_ascii(text)
    return f'"{"".join([_character(dice, each) for each in text])}"'


def _character(dice: Dice, character: str) -> str:
    if dice.chance(0.3):
        return "".join([_escape(dice, unit) for unit in _units(ord(character))])
    return r"\/" if character == "/" and dice.chance(0.5) else encode_basestring(character)[1:-1]


def _units(code: int) -> list[int]:
    if code < 0x10000:
        return [code]
    return [0xD800 + (code - 0x10000 >> 10), 0xDC00 + (code - 0x10000 & 0x3FF)]


def _escape(dice: Dice, unit: int) -> str:
    return rf"\u{unit:04x}" if dice.chance(0.5) else rf"\u{unit:04X}"


ALIEN_DIGITS = [0x660, 0x6F0, 0x966, 0xFF10, 0x1D7CE]
"""Where other scripts have the digit zero."""


_ENDS = ["\n", "\r", " ", "\0", "\t", "\u2028", "\u0085", "x", "Z", "0"]
_BEGINNINGS = ["\n", " ", "\0", "\ufeff", "+", "-", "0"]
_ALTERATIONS: list[Callable[[Dice, str, str, str], str]] = [
    lambda _, before, __, after: before + after,
    lambda _, before, here, after: before + here + here + after,
    lambda dice, before, _, after: before + dice.pick("0129-+.:TZtzeE gG_,") + after,
    lambda dice, before, _, after: before + any_character(dice) + after,
    lambda dice, before, here, after: before + any_character(dice) + here + after,
    lambda dice, before, here, after: before + here + after + dice.pick(_ENDS),
    lambda dice, before, here, after: dice.pick(_BEGINNINGS) + before + here + after,
    lambda dice, before, here, after: alien_digit(dice, before + here + after),
]


def altered(dice: Dice, text: str) -> str:
    """Return the text with a character changed, removed, inserted or doubled, or with something at an end."""
    place = dice.below(len(text)) if text else 0
    return dice.pick(_ALTERATIONS)(dice, text[:place], text[place : place + 1], text[place + 1 :])


def alien_digit(dice: Dice, text: str) -> str:
    """Return the text with its digits, or one of them, in another script."""
    zero = dice.pick(ALIEN_DIGITS)
    table = {ord("0") + digit: chr(zero + digit) for digit in range(10)}
    if dice.chance(0.5):
        return text.translate(table)
    place = dice.below(len(text)) if text else 0
    return text[:place] + text[place : place + 1].translate(table) + text[place + 1 :]
