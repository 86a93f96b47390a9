"""Headers: those of binary mode, and any others: missing, doubled, null, no text, huge, with odd names."""

from collections.abc import Callable

from tests.fuzz.dates import any_day, instant
from tests.fuzz.dice import Dice
from tests.fuzz.texts import any_text
from tests.support.raw_batches import RawHeader

Headers = list[RawHeader]

JSON: RawHeader = (b"content-type", b"application/json")
STRUCTURED: RawHeader = (b"content-type", b"application/cloudevents+json")
CONTENT_TYPES: list[bytes | None] = [
    b"application/cloudevents+json",
    b"application/cloudevents+json; charset=UTF-8",
    b"Application/CloudEvents+JSON",
    b" application/cloudevents+json\t;x",
    b"application/cloudevents+json\x0b",
    b"application/cloudevents+json\xa0",
    b"application/cloudevents-batch+json",
    b"application/cloudevents+avro",
    b"application/cloudevents",
    b"application/cloudevents+jsonx",
    b"application/json",
    b"text/plain",
    b"",
    b";",
    b"\xff\xfe",
    None,
]
CONTENT_TYPE_NAMES = [b"content-type"] * 6 + [b"Content-Type", b"CONTENT-TYPE", b"content_type", b"content-typ\xc3\xa9"]
CONTENT_TYPE_NAMES += [b"content-type ", b"content-typ\xff", b"\xc4\xb0ontent-type"]
_TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def binary(kind: str, serial: int) -> Headers:
    """Return the headers of a usual producer."""
    return [
        (b"ce_specversion", b"1.0"),
        (b"ce_id", b"%s-%d" % (kind.encode(), serial)),
        (b"ce_source", b"/billing"),
        (b"ce_type", b"customer.%s" % kind.encode()),
        (b"ce_time", b"2026-11-01T00:%02d:%02dZ" % (serial // 60 % 60, serial % 60)),
        JSON,
    ]


def odd_headers(dice: Dice, headers: Headers) -> Headers:
    """Return the headers with some of them changed, removed, repeated or added."""
    for _ in range(dice.pick((1, 1, 1, 2, 3, 6))):
        headers = dice.pick(_CHANGES)(dice, headers)
    return headers


def _inserted(dice: Dice, headers: Headers, added: RawHeader) -> Headers:
    place = dice.below(len(headers) + 1) if dice.chance(0.7) else len(headers)
    return [*headers[:place], added, *headers[place:]]


def _removed(dice: Dice, headers: Headers) -> Headers:
    place = dice.below(len(headers)) if headers else 0
    return headers[:place] + headers[place + 1 :]


def _revalued(dice: Dice, headers: Headers) -> Headers:
    if not headers:
        return [(b"x", odd_value(dice))]
    place = dice.below(len(headers))
    return [*headers[:place], (headers[place][0], odd_value(dice)), *headers[place + 1 :]]


def _doubled(dice: Dice, headers: Headers) -> Headers:
    name, value = dice.pick(headers) if headers else (b"ce_id", b"1")
    return _inserted(dice, headers, (name, value if dice.chance(0.3) else odd_value(dice)))


def _typed(dice: Dice, headers: Headers) -> Headers:
    return _inserted(dice, headers, (dice.pick(CONTENT_TYPE_NAMES), dice.pick(CONTENT_TYPES)))


_CARRIED = [
    b"ce_id",
    b"ce_time",
    b"ce_correlationid",
    b"traceparent",
    b"tracestate",
    b"ce_traceparent",
    b"ce_tracestate",
]


def _carried(dice: Dice, headers: Headers) -> Headers:
    name = dice.pick(_CARRIED)
    if name == b"ce_time" and dice.chance(0.7):
        text = instant(dice, any_day(dice) if dice.chance(0.5) else "2026-06-30")
        return _inserted(dice, headers, (name, text.encode("utf-8", "surrogatepass")))
    return _inserted(
        dice, headers, (name, dice.pick((_TRACE, b"a=1,b=2", b"c-1")) if dice.chance(0.5) else odd_value(dice))
    )


_NAMES = [
    b"",
    b"x",
    b"\xff\xfe\x80",
    b"\xed\xa0\x80",
    "ключ".encode(),
    b"a\nb",
    b"\0",
    b"CE_ID",
    b"ce-id",
    b"ce_",
    b"reply_to",
]
_NAMES += [
    b"correlation_id",
    b"x" * 5000,
    b"ce_id\xff",
    b"__dlq.errors.",
    b"__dlq.errors.reason",
    b"__dlq.errors.\xff",
    b"\xc0\xaf",
]
_NAMES += [b"ce_source", b"ce_type", b"ce_specversion", b"Traceparent", b"\xf0\x9f\x98\x80", b"\xef\xbb\xbfce_id"]


def _named(dice: Dice, headers: Headers) -> Headers:
    return _inserted(dice, headers, (dice.pick(_NAMES), odd_value(dice)))


_NUMBERS = [
    b"0",
    b"1",
    b"7",
    b"-1",
    b"9" * 19,
    b"-" + b"9" * 19,
    b"9" * 20,
    b"",
    b"x",
    None,
    "٣".encode(),
    b"007",
    b" 1",
    b"1e3",
]


def _redriven(dice: Dice, headers: Headers) -> Headers:
    """Add the headers of a dead letter that was sent back to its topic, or some that look like it."""
    topic = dice.pick((b"customer.signup", b"customer.cancellation", b"\xff", None))
    letter: Headers = [(b"__dlq.errors.topic", topic)]
    for name in (
        b"partition",
        b"offset",
        b"timestamp",
        b"group",
        b"reason",
        b"message",
        b"app.version",
        b"redrive.count",
    ):
        if dice.chance(0.95):
            letter.append(
                (b"__dlq.errors." + name, dice.pick(_NUMBERS) if dice.chance(0.3) else b"%d" % dice.below(100))
            )
    return headers + letter if dice.chance(0.8) else letter + headers


def _many(dice: Dice, headers: Headers) -> Headers:
    count = dice.pick((20, 130, 400))
    return headers + [(b"x-%d" % (number % 50), b"%d" % number) for number in range(count)]


_CHANGES: list[Callable[[Dice, Headers], Headers]] = [
    *[_carried] * 6,
    *[_doubled] * 4,
    *[_typed] * 4,
    *[_named] * 4,
    *[_revalued] * 4,
    *[_removed] * 3,
    _redriven,
    lambda dice, headers: dice.shuffled(headers),
    lambda dice, headers: _many(dice, headers) if dice.chance(0.1) else [],
]
_VALUES: list[bytes | None] = [
    None,
    None,
    b"",
    b"1",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\0",
    b"a\nb",
    b"\x7f",
    b" ",
    b"1.0",
]
_VALUES += [
    "ß-1 日本".encode(),
    "\u0085".encode(),
    "\ufffe".encode(),
    "\U0010ffff".encode(),
    "\ufdd0".encode(),
    b"x" * 63,
]
_VALUES += [
    b"x" * 64,
    b"x" * 4095,
    b"x" * 4096,
    b"x" * 4097,
    "é".encode() * 2048,
    "é".encode() * 2049,
    b"\xc0\xaf",
    _TRACE,
]


def odd_value(dice: Dice) -> bytes | None:
    """Return any value of a header."""
    drawn = dice.random()
    if drawn < 0.85:
        return dice.pick(_VALUES)
    if drawn < 0.95:
        return dice.content(dice.below(40))
    if drawn < 0.999:
        return any_text(dice).encode("utf-8", "surrogatepass")
    return dice.content(dice.pick((10_000, 100_000)))
