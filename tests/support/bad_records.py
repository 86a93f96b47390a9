"""Every kind of record that the contract refuses, each under a name of its own, with the reason that it must get."""

import base64
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.envelope import SIZE_LIMIT
from tests.support.records import Headers, Kind
from tests.support.spelling import cancellation, padded, quoted, signup, structured

STRUCTURED_TYPE: Headers = (("content-type", b"application/cloudevents+json"),)
# Stands in refused values, so that a test can look for it where a value must not be repeated.
MARK = "zq7-never-to-be-shown"


@dataclass(frozen=True, slots=True)
class BadRecord:
    """One record that must end as a dead letter. `field` is what the dead letter's message must name."""

    name: str
    kind: Kind
    value: bytes | None
    reason: str
    field: str | None = None
    headers: Headers = ()


def bad_records() -> list[BadRecord]:
    """All of them; every call gives the same, byte for byte."""
    return [*_unreadable(), *_fields(), *_structured(), *_bad_headers()]


def _id(name: str) -> str:
    """Return the id of a customer whom only this record names, so that nobody else's state depends on it."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"bad/{name}"))


def _unreadable() -> Iterator[BadRecord]:
    good = signup(_id("unreadable"))
    yield BadRecord("signup tombstone", "signup", None, "empty")
    yield BadRecord("cancellation tombstone", "cancellation", None, "empty")
    yield BadRecord("one byte over the limit", "signup", padded(good, SIZE_LIMIT + 1), "too_large")
    yield BadRecord("65 KiB", "cancellation", padded(cancellation(_id("65 KiB")), 65 * 1024), "too_large")
    yield BadRecord("900 KiB", "signup", padded(good, 900 * 1024), "too_large")
    yield BadRecord("100,000 levels", "signup", b"[" * 100_000 + b"]" * 100_000, "too_large")
    depth = 30_000
    deep = "[" * depth + "]" * depth
    objects = '{"a":' * 10_000 + "1" + "}" * 10_000
    unclosed = quoted(MARK).encode()[:-1]
    texts: dict[str, bytes] = {
        "no bytes": b"",
        "blank": b" \r\n\t ",
        "no JSON": MARK.encode(),
        "byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-32": good.decode().encode("utf-32-le"),
        "Latin-1 in a field": signup(_id("latin"), industry='"Caf@"').replace(b"@", b"\xe9"),
        "Latin-1 in a field nobody reads": signup(_id("latin unread"), note='"Caf@"').replace(b"@", b"\xe9"),
        "overlong UTF-8": signup(_id("overlong"), industry='"@"').replace(b"@", b"\xc0\xaf"),
        "surrogates in UTF-8": signup(_id("cesu"), note='"@"').replace(b"@", b"\xed\xa0\x80"),
        "lone surrogate in a field": signup(_id("surrogate"), industry=r'"\ud800"'),
        "lone surrogate in a field nobody reads": signup(_id("surrogate unread"), note=r'"\udc00 x"'),
        "NaN": signup(_id("NaN"), mrr="NaN"),
        "Infinity": signup(_id("Infinity"), mrr="Infinity"),
        "-Infinity": signup(_id("-Infinity"), mrr="-Infinity"),
        "NaN in a field nobody reads": signup(_id("NaN unread"), note="NaN"),
        "an array": b"[" + good + b"]",
        "an empty array": b"[]",
        "a text": quoted(MARK).encode(),
        "a number": b"20260115",
        "null": b"null",
        "true": b"true",
        "30,000 levels": deep.encode(),
        "30,000 levels in a field nobody reads": signup(_id("deep unread"), note=deep),
        "30,000 levels in a field": signup(_id("deep"), mrr=deep),
        "10,000 objects deep": signup(_id("deep objects"), note=objects),
        "unclosed": good[:-1],
        "unclosed text": unclosed,
        "two objects": good + good,
        "something after it": good + b" x",
        "NUL after it": good + b"\x00",
        "only NUL": b"\x00" * 20,
        "comma too many": good[:-1] + b",}",
        "comment": b"/* hello */" + good,
        "single quotes": good.replace(b'"', b"'"),
        "line break in a text": signup(_id("raw newline"), industry='"Fin\nTech"'),
        "NUL byte in a text": signup(_id("raw NUL"), industry='"Fin\0Tech"'),
        "number with leading zero": signup(_id("leading zero"), mrr="0499"),
        "number with plus": signup(_id("plus"), mrr="+499"),
        "number with bare point": signup(_id("bare point"), mrr="499."),
        "number without whole part": signup(_id("no whole"), mrr=".5"),
        "hexadecimal": signup(_id("hex"), mrr="0x1F3"),
        "number with underscore": signup(_id("underscore"), mrr="1_000"),
        "unknown escape": signup(_id("escape"), industry=r'"Fin\xTech"'),
        "Python's True": signup(_id("True"), note="True"),
        "Avro's first byte": b"\x00\x00\x00\x00\x07" + good,
    }
    for name, value in texts.items():
        yield BadRecord(name, "signup", value, "malformed")
    yield BadRecord("malformed cancellation", "cancellation", b'{"customer_id": ', "malformed")
    yield BadRecord("array of cancellations", "cancellation", b"[" + cancellation(_id("array")) + b"]", "malformed")


def _fields() -> Iterator[BadRecord]:
    for name, field, tokens in _refused_signup_fields():
        customer_id = _id(f"{field}/{name}")
        yield BadRecord(f"{field}: {name}", "signup", signup(customer_id, **tokens), "invalid", field)
    for name, token in _REFUSED_DATES.items():
        for kind, field, spell in (
            ("signup", "signup_date", signup),
            ("cancellation", "cancellation_date", cancellation),
        ):
            value = spell(_id(f"{field}/{name}"), **{field: token})
            yield BadRecord(f"{field}: {name}", kind, value, "invalid", field)  # type: ignore[arg-type]
    for name, text in _REFUSED_IDS.items():
        yield BadRecord(f"customer_id: {name}", "signup", signup("", customer_id=text), "invalid", "customer_id")
    yield BadRecord(
        "cancellation of nobody", "cancellation", cancellation("", customer_id=None), "invalid", "customer_id"
    )
    yield BadRecord("cancellation of no UUID", "cancellation", cancellation(f"42 {MARK}"), "invalid", "customer_id")
    yield BadRecord(
        "no cancellation_date", "cancellation", cancellation(_id("undated"), cancellation_date=None), "invalid",
        "cancellation_date",
    )  # fmt: skip
    long_reason = quoted(f"{MARK} ".ljust(201, "x"))
    yield BadRecord(
        "reason of 201 characters", "cancellation", cancellation(_id("long"), reason=long_reason), "invalid", "reason"
    )
    yield BadRecord("signup sent as a cancellation", "cancellation", signup(_id("wrong topic")), "invalid")
    yield BadRecord("cancellation sent as a signup", "signup", cancellation(_id("wrong topic")), "invalid")
    yield BadRecord("an empty object", "signup", b"{}", "invalid")
    for currency in ("EUR", "GBP", "BTC", "US", "USDT", MARK):
        mrr = f'{{"amount": "499.00", "currency": "{currency}"}}'
        value = signup(_id(f"currency/{currency}"), mrr=mrr)
        yield BadRecord(f"currency {currency}", "signup", value, "unsupported_currency")
    for tier in ("platinum", "", "growth ", "gröwth", MARK):
        value = signup(_id(f"tier/{tier}"), plan_tier=quoted(tier))
        yield BadRecord(f"plan tier {tier!r}", "signup", value, "unknown_plan_tier")


def _refused_signup_fields() -> Iterator[tuple[str, str, dict[str, str | None]]]:
    for field in ("customer_id", "industry", "plan_tier", "signup_date", "mrr"):
        yield "missing", field, {field: None}
    for name, token in {"null": "null", "a number": "7", "a list": '["FinTech"]', "an object": "{}"}.items():
        yield name, "industry", {"industry": token}
    amounts = {
        "negative": "-1.00", "negative cents": "-0.01", "NaN": "NaN", "signalling NaN": "sNaN", "nan": "nan",
        "Infinity": "Infinity", "-Infinity": "-Infinity", "inf": "inf", "underscore": "1_000", "comma": "1,000.00",
        "decimal comma": "499,00", "Arabic digits": "\u0664\u0669\u0669",
        "fullwidth digits": "\uff14\uff19\uff19", "superscript": "4²",
        "empty": "", "word": MARK, "dollar": "$499.00", "hexadecimal": "0x1F3", "space inside": "1 000",
        "two points": "4.9.9", "10^12": "1000000000000", "10^12 with cents": "1000000000000.00", "NUL": "499\0",
        "5,000 digits": "9" * 5000, "minus inside": "4-9", "fraction": "1/2",
    }  # fmt: skip
    for name, text in amounts.items():
        token = quoted(text)
        yield f"{name} as a text", "mrr", {"mrr": token}
        yield f"{name} as an amount", "mrr", {"mrr": f'{{"amount": {token}, "currency": "USD"}}'}
    numbers = {
        "-1": "-1", "-0.01": "-0.01", "10^12": "1000000000000", "1e12": "1e12", "1e400": "1e400",
        "1e999999999": "1e999999999", "5,000 digits": "9" * 5000, "-1e999999": "-1e999999",
    }  # fmt: skip
    for name, token in numbers.items():
        yield f"number {name}", "mrr", {"mrr": token}
    others = {"null": "null", "true": "true", "false": "false", "a list": '["499.00"]', "an empty object": "{}"}
    for name, token in others.items():
        yield name, "mrr", {"mrr": token}
    yield "no currency", "mrr", {"mrr": '{"amount": "499.00"}'}
    yield "no amount", "mrr", {"mrr": '{"currency": "USD"}'}
    yield "null amount", "mrr", {"mrr": '{"amount": null, "currency": "USD"}'}
    yield "true amount", "mrr", {"mrr": '{"amount": true, "currency": "USD"}'}
    yield "list amount", "mrr", {"mrr": '{"amount": ["499.00"], "currency": "USD"}'}


_REFUSED_DATES = {
    "null": "null", "number": "20260115", "seconds": "1768435200", "milliseconds": "1768435200000.5", "true": "true",
    "list": "[2026, 1, 15]", "object": '{"year": 2026}', "empty": '""', "word": quoted(MARK),
    "no hyphens": '"20260115"', "week": '"2026-W03-4"', "day of year": '"2026-015"', "month only": '"2026-01"',
    "one digit": '"2026-1-5"', "slashes": '"2026/01/15"', "day first": '"15.01.2026"', "American": '"01/15/2026"',
    "year of five digits": '"12026-01-15"', "minus": '"-2026-01-15"', "30 February": '"2026-02-30"',
    "29 February 2026": '"2026-02-29"', "29 February 1900": '"1900-02-29"', "month 13": '"2026-13-01"',
    "month 0": '"2026-00-10"', "day 0": '"2026-01-00"', "day 32": '"2026-01-32"', "line break": r'"2026-01-15\n"',
    "Arabic digits": '"\u0662\u0660\u0662\u0666-\u0660\u0661-\u0661\u0665"',
    "fullwidth digits": '"\uff12\uff10\uff12\uff16-01-15"', "NUL": r'"2026-01-15\u0000"',
    "no offset": '"2026-01-15T10:00:00"', "no seconds": '"2026-01-15T10:00Z"', "hour 24": '"2026-01-15T24:00:00Z"',
    "minute 60": '"2026-01-15T10:60:00Z"', "offset without colon": '"2026-01-15T10:00:00+0100"',
    "offset of hours": '"2026-01-15T10:00:00+01"', "offset 24:00": '"2026-01-15T10:00:00+24:00"',
    "offset of 60 minutes": '"2026-01-15T10:00:00+01:60"', "Z on a date": '"2026-01-15Z"',
    "comma for the fraction": '"2026-01-15T10:00:00,5Z"', "point without fraction": '"2026-01-15T10:00:00.Z"',
    "impossible date-time": '"2026-02-30T10:00:00Z"', "name of a zone": '"2026-01-15T10:00:00 UTC"',
    "after the year 9999 in UTC": '"9999-12-31T23:59:59-01:00"',
    "before the year 1 in UTC": '"0001-01-01T00:30:00+01:00"',
    "HTTP's date": '"Thu, 15 Jan 2026 10:00:00 GMT"', "now": '"now"', "today": '"today"',
}  # fmt: skip

_UUID = "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77"
_REFUSED_IDS = {
    "null": "null", "number": "42", "list": f'["{_UUID}"]', "object": "{}", "empty": '""', "word": quoted(MARK),
    "no hyphens": quoted(_UUID.replace("-", "")), "braces": quoted(f"{{{_UUID}}}"), "URN": quoted(f"urn:uuid:{_UUID}"),
    "space before": quoted(f" {_UUID}"), "line break behind": quoted(f"{_UUID}\n"), "too short": quoted(_UUID[:-1]),
    "too long": quoted(_UUID + "7"), "g for a digit": quoted(_UUID[:-1] + "g"),
    "other groups": quoted(_UUID.replace("-4c8b", "4-c8b")),
    "Arabic digits": quoted("\u0666" + _UUID[1:]), "fullwidth digits": quoted("\uff16" + _UUID[1:]),
    "NUL": quoted(_UUID[:-1] + "\0"), "underscores": quoted(_UUID.replace("-", "_")), "number of UUID size": "1" * 36,
}  # fmt: skip


def _structured() -> Iterator[BadRecord]:
    good = signup(_id("structured"))
    for attribute in ("id", "source", "specversion", "type"):
        for name, token in {"without": None, "with null for": "null"}.items():
            value = structured(good, **{attribute: token})
            yield BadRecord(f"structured {name} {attribute}", "signup", value, "malformed", None, STRUCTURED_TYPE)
    yield BadRecord("bare JSON that claims to be structured", "signup", good, "malformed", None, STRUCTURED_TYPE)
    for name, data in {"array": b"[]", "text": b'"x"', "number": b"1"}.items():
        yield BadRecord(f"structured {name}", "signup", structured(data), "malformed", None, STRUCTURED_TYPE)
    yield BadRecord("structured garbage", "signup", b"\xff{", "malformed", None, STRUCTURED_TYPE)
    invalid = structured(signup(_id("structured invalid"), mrr='"-1"'))
    yield BadRecord("structured with a bad field", "signup", invalid, "invalid", "mrr", STRUCTURED_TYPE)
    ended = structured(cancellation("not a UUID"), type='"customer.cancellation"')
    yield BadRecord(
        "structured cancellation of no UUID", "cancellation", ended, "invalid", "customer_id", STRUCTURED_TYPE
    )
    not_json = base64.b64encode(b"not JSON").decode()
    value = structured(None, data_base64=f'"{not_json}"')
    yield BadRecord("structured base64 of no JSON", "signup", value, "malformed", None, STRUCTURED_TYPE)
    not_text = base64.b64encode(b"\xff\xfe").decode()
    value = structured(None, data_base64=f'"{not_text}"')
    yield BadRecord("structured base64 of no UTF-8", "signup", value, "malformed", None, STRUCTURED_TYPE)


def _bad_headers() -> Iterator[BadRecord]:
    """Bad records whose headers have to reach the dead letter as they are."""
    value = signup(_id("headers"), mrr='"-1"')
    earlier = tuple((f"__dlq.errors.{name}", b"1") for name in ("topic", "partition", "offset", "timestamp", "group"))
    earlier += tuple((f"__dlq.errors.{name}", b"1") for name in ("reason", "message", "app.version", "redrive.count"))
    for name, headers in {
        "null": (("x-null", None), ("ce_id", None)),
        "bytes that are no text": (("x-bytes", bytes(range(256))), ("ce_id", b"\xff\xfe"), ("traceparent", b"\x80")),
        "repeated": (("x", b"1"), ("y", b"2"), ("x", b"3"), ("x", b"1"), ("y", None)),
        "named nothing": (("", b"value"), ("", None)),
        "reply_to": (("reply_to", b"customer.churned"), ("correlation_id", b"\xff")),
        "hundreds": tuple((f"x-{number % 50}", b"%d" % number) for number in range(400)),
        "huge": (("x-huge", b"\x00\xff" * 50_000),),
        "garbage for an envelope": (("ce_specversion", b"9.9"), ("ce_time", b"yesterday"), ("ce_type", b"\x00")),
        "of a redriven record": (("x", b"1"), *earlier, ("y", b"2")),
        "of a record redriven twice over": (*earlier, *earlier),
    }.items():
        yield BadRecord(f"headers {name}", "signup", value, "invalid", "mrr", headers)
