"""Damage to values: cut, flipped, in another encoding, framed, too large, followed by something; and mutations."""

import struct
from collections.abc import Callable

from tests.fuzz.dice import Dice
from tests.support.envelope import SIZE_LIMIT

Damage = Callable[[Dice, bytes], bytes]

_ENDS = [b" ", b"\n", b"x", b"{}", b"\xff", b"\0", b",", b"]", b"}", b"null", b"\xef\xbb\xbf", b"\xc2\xa0", b" \r\n\t "]
_INVALID = [
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xed\xb0\x80",
    b"\xf5\x80\x80\x80",
    b"\x80",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
]
_VALID = ["\u00e9".encode(), "\U0001f600".encode(), b"\x7f", b"\xc2\x80", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]
_BYTES = b'\x00\x01\x09\x0a\x1f\x20"\\/{}[],:0123456789eE+-.tfnuTZ\x7f\x80\xc0\xff'
_TOKENS = [
    b'"customer_id"',
    b'"specversion":"1.0"',
    b"null",
    b"1e5",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b",",
    b":",
]
_TOKENS += [
    b'"mrr"',
    b'"amount"',
    b'"USD"',
    b'"data"',
    b"true",
    b"-",
    b"0",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"1.0",
    b"2026-06-30",
]
_WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-32-le", "utf-7", "latin-1", "cp500"]


def _cut(dice: Dice, value: bytes) -> bytes:
    return value[: dice.below(len(value) + 1)]


def _flip(dice: Dice, value: bytes) -> bytes:
    place = dice.below(len(value)) if value else 0
    return value[:place] + bytes(each ^ 1 << dice.below(8) for each in value[place : place + 1]) + value[place + 1 :]


def _insert(pieces: list[bytes]) -> Damage:
    def insert(dice: Dice, value: bytes) -> bytes:
        place = dice.below(len(value) + 1)
        return value[:place] + dice.pick(pieces) + value[place:]

    return insert


def _overwrite(dice: Dice, value: bytes) -> bytes:
    place = dice.below(len(value)) if value else 0
    return value[:place] + bytes([dice.pick(_BYTES)]) + value[place + 1 :]


def _remove(dice: Dice, value: bytes) -> bytes:
    place = dice.below(len(value)) if value else 0
    return value[:place] + value[place + 1 + dice.below(dice.pick((1, 1, 8, 40))) :]


def _repeat(dice: Dice, value: bytes) -> bytes:
    begin = dice.below(len(value)) if value else 0
    end = begin + 1 + dice.below(40)
    place = dice.below(len(value) + 1)
    return value[:place] + value[begin:end] + value[place:]


def _swap(dice: Dice, value: bytes) -> bytes:
    first, second = sorted((dice.below(len(value) + 1), dice.below(len(value) + 1)))
    return value[:first] + value[second:] + value[first:second]


def _encode(dice: Dice, value: bytes) -> bytes:
    return value.decode("utf-8", "replace").encode(dice.pick(_WIDE), "replace")


def _frame(dice: Dice, value: bytes) -> bytes:
    frame = dice.pick(
        (b"\0" + dice.content(4), b"\0\0\0\0\x07", b"\0" * dice.below(8), b"\x01\0\0\0\x07", b"\0\0\0\0\x07\0")
    )
    return frame + value


def _pad(dice: Dice, value: bytes) -> bytes:
    """Make the value about as large as the limit, by white space or by a member that nobody reads."""
    size = dice.pick((SIZE_LIMIT - 1, SIZE_LIMIT, SIZE_LIMIT, SIZE_LIMIT + 1, SIZE_LIMIT + 1000))
    if dice.chance(0.5):
        return value.ljust(size)
    begin, end = value[:-1] + b', "padding": "', b'"}'
    return begin + b"x" * (size - len(begin) - len(end)) + end


def _ended(dice: Dice, value: bytes) -> bytes:
    return value + dice.pick(_ENDS)


def _begun(dice: Dice, value: bytes) -> bytes:
    return dice.pick(_ENDS) + value


_WHOLE: list[Damage] = [
    lambda _, value: b"[" + value + b"]",
    lambda _, value: value + value,
    lambda _, __: b"",
    lambda dice, _: b" \r\n\t"[: dice.below(5)],
    lambda dice, _: dice.content(dice.below(60)),
    lambda dice, _: dice.pick(
        [b"null", b"true", b"0", b"[]", b"{}", b'""', b"[{}]", b"1e999", b"{", b'"', b"\0", b"\0" * 5, b"\0" * 40]
    ),
    lambda dice, value: struct.pack(">bi", 0, dice.below(100)) + value,
]
_SMALL: list[Damage] = [
    *[_cut] * 4,
    *[_flip] * 4,
    *[_overwrite] * 4,
    *[_remove] * 3,
    _insert(_INVALID),
    *[_insert(_VALID)] * 2,
    *[_insert(_TOKENS)] * 3,
    _repeat,
    _swap,
    _ended,
    _begun,
]


def damaged(dice: Dice, value: bytes) -> bytes:
    """Return the value with one damage."""
    drawn = dice.random()
    if drawn < 0.8:
        return dice.pick(_SMALL)(dice, value)
    if drawn < 0.9:
        return dice.pick(_WHOLE)(dice, value)
    if drawn < 0.95:
        return _encode(dice, value)
    return _frame(dice, value) if drawn < 0.99 else _pad(dice, value)


def mutated(dice: Dice, value: bytes) -> bytes:
    """Return the value with one or several damages, most of them of few bytes."""
    for _ in range(dice.pick((1, 1, 1, 2, 3, 5))):
        value = dice.pick(_SMALL)(dice, value) if dice.chance(0.95) else damaged(dice, value)
    return value
