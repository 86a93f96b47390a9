"""One record, usual or in any form: made by the grammar, or a real one mutated."""

from functools import cache
from typing import NamedTuple

from tests.fuzz.damage import damaged, mutated
from tests.fuzz.dice import Dice
from tests.fuzz.envelopes import odd_event, usual_event
from tests.fuzz.headers import JSON, STRUCTURED, Headers, binary, odd_headers
from tests.fuzz.values import Customer, joined, joined_oddly, odd_members, usual_members
from tests.support.corner_cases import corner_cases
from tests.support.corpus import make_corpus
from tests.support.records import Kind, Message

NOON = 1_782_820_800_000
_KEYS: list[bytes | None] = [None, b"", b"\xff\xfe\x00", b"another key", b"\0", b"00000000-0000-0000-0000-000000000000"]
_TIMESTAMPS = [-1, 0, 1, -2, 999, -1000, 2**63 - 1, -(2**63), 253_402_300_799_999, 253_402_300_800_000]
_TIMESTAMPS += [-62_135_596_800_000, -62_135_596_800_001, 2**53, 10**17, 86_400_000 * 10**9]
_LARGE = 5_000


class AnyRecord(NamedTuple):
    """A record that has no offset yet."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


def usual_record(dice: Dice, kind: Kind, who: Customer, serial: int) -> AnyRecord:
    """Return a record as usual producers send it."""
    text = joined(usual_members(kind, who))
    mode = dice.random()
    headers = binary(kind, serial) if mode < 0.8 else []
    if mode > 0.9:
        text, headers = joined([*usual_event(kind, serial), ('"data"', text)]), [STRUCTURED]
    return AnyRecord(who.customer_id.encode(), text.encode(), headers, NOON + serial)


def odd_record(dice: Dice, kind: Kind, who: Customer, serial: int) -> AnyRecord:
    """Return a record of the customer in any form; a mutated one is of another customer, or of none."""
    key: bytes | None = who.customer_id.encode()
    if dice.chance(0.2):
        key, value, headers = _mutated(dice, kind)
    else:
        value, headers = _by_grammar(dice, kind, who, serial)
    if dice.chance(0.15):
        key = dice.pick(_KEYS) if dice.chance(0.95) else dice.content(dice.pick((36, 200, 100_000)))
    timestamp = dice.pick(_TIMESTAMPS) if dice.chance(0.05) else NOON + serial
    return AnyRecord(key, value, headers, timestamp)


def _by_grammar(dice: Dice, kind: Kind, who: Customer, serial: int) -> tuple[bytes | None, Headers]:
    members = odd_members(dice, kind, who) if dice.chance(0.65) else usual_members(kind, who)
    text = joined(members) if dice.chance(0.8) else joined_oddly(dice, members)
    headers: Headers = []
    mode = dice.random()
    if mode < 0.4:
        headers = binary(kind, serial)
    elif mode < 0.85:
        text = odd_event(dice, kind, serial, text)
        headers = [STRUCTURED] if mode < 0.65 else [JSON] if mode < 0.75 else []
    if dice.chance(0.35):
        headers = odd_headers(dice, headers)
    value = text.encode("utf-8", "surrogatepass")
    drawn = dice.random()
    if drawn < 0.005:
        return None, headers
    return damaged(dice, value) if drawn < 0.15 else value, headers


def _mutated(dice: Dice, kind: Kind) -> tuple[bytes | None, bytes | None, Headers]:
    small, large = _real_records()
    messages = large if dice.chance(0.002) else small[kind if dice.chance(0.97) else "signup"]
    message = dice.pick(messages)
    value = message.value if message.value is None or dice.chance(0.1) else mutated(dice, message.value)
    headers = [(name.encode("utf-8", "surrogateescape"), text) for name, text in message.headers]
    return message.key, value, odd_headers(dice, headers) if dice.chance(0.2) else headers


@cache
def _real_records() -> tuple[dict[Kind, list[Message]], list[Message]]:
    """Return the records of the acceptance tests: those of usual size by kind, and the large ones."""
    messages = [*make_corpus(300, 8).messages, *corner_cases()]
    small = [message for message in messages if _size(message) < _LARGE]
    kinds: dict[Kind, list[Message]] = {
        "signup": [message for message in small if message.kind == "signup"],
        "cancellation": [message for message in small if message.kind == "cancellation"],
    }
    return kinds, [message for message in messages if _size(message) >= _LARGE]


def _size(message: Message) -> int:
    return len(message.key or b"") + len(message.value or b"") + sum(len(value or b"") for _, value in message.headers)
