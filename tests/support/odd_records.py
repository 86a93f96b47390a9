"""Records that look like trouble and are good all the same: each of them must take effect."""

import base64
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.bad_records import STRUCTURED_TYPE
from tests.support.envelope import SIZE_LIMIT
from tests.support.records import Headers
from tests.support.spelling import cancellation, padded, quoted, signup, spelled, structured


@dataclass(frozen=True, slots=True)
class OddSignup:
    """A good signup of a customer of its own; it carries its whole message but the key."""

    name: str
    customer_id: str
    value: bytes
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class OddCancellation:
    """A good cancellation of a customer of its own, who signed up plainly."""

    name: str
    customer_id: str
    value: bytes
    headers: Headers = ()


def _id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"odd/{name}"))


def odd_signups() -> Iterator[OddSignup]:
    """Every call gives the same."""
    fields: dict[str, dict[str, str | None]] = {
        "unknown industry": {"industry": '"Space Mining"'},
        "industry of nothing": {"industry": '""'},
        "industry with spaces around": {"industry": '" FinTech "'},
        "industry with NUL": {"industry": r'"Fin\u0000Tech"'},
        "industry in other letters": {"industry": '"hR tEcH"'},
        "escaped letters": {"industry": r'"\u0046in\u0054ech"', "plan_tier": r'"\u0067rowth"'},
        "a pair of surrogates": {"industry": r'"\ud83d\ude80"'},
        "tier in other letters": {"plan_tier": '"EnTerPrise"'},
        "whole number": {"mrr": "499"},
        "number with decimals": {"mrr": "499.125"},
        "number with exponent": {"mrr": "4.99E+2"},
        "tiny number": {"mrr": "1e-400"},
        "half of a millionth": {"mrr": '"0.0000005"'},
        "less than half of a millionth": {"mrr": '"0.00000049999999999999999999999999999999"'},
        "what no float can hold": {"mrr": "123456789012.123457"},
        "a third": {"mrr": '"83.333333"'},
        "thousands of decimals": {"mrr": f'"1.{"3" * 4000}"'},
        "number with thousands of decimals": {"mrr": f"2.{'6' * 4000}"},
        "nearly 10^12": {"mrr": '"999999999999.999999"'},
        "nothing a month": {"mrr": "0"},
        "nothing in full": {"mrr": '"0.000000"'},
        "tomorrow in UTC": {"signup_date": '"2026-01-15T23:30:00-05:00"'},
        "yesterday in UTC": {"signup_date": '"2026-03-01T00:30:00+05:30"'},
        "small t and z": {"signup_date": '"2026-01-15t10:00:00z"'},
        "offset of minus nothing": {"signup_date": '"2026-01-15T10:00:00-00:00"'},
        "twenty digits of a second": {"signup_date": '"2026-01-15T10:00:00.12345678901234567890Z"'},
        "leap day": {"signup_date": '"2024-02-29"'},
        "the first day there is": {"signup_date": '"0001-01-01"'},
        "the last day there is": {"signup_date": '"9999-12-31"'},
        "unknown fields": {"note": '{"a": [1, 2, {"b": null}]}', "id": "7"},
        "twenty levels": {"note": "[" * 20 + "]" * 20},
    }
    for name, tokens in fields.items():
        yield OddSignup(name, _id(name), signup(_id(name), **tokens))
    plain = {name: signup(_id(name)) for name in ("at the limit", "white space", "escaped name", "upper case")}
    yield OddSignup("at the limit", _id("at the limit"), padded(plain["at the limit"], SIZE_LIMIT))
    yield OddSignup(
        "white space", _id("white space"), b"\r\n\t " + plain["white space"].replace(b": ", b"\t:\n") + b" \n"
    )
    escaped = plain["escaped name"].replace(b'"mrr"', rb'"\u006drr"')
    yield OddSignup("escaped name", _id("escaped name"), escaped)
    upper = _id("upper case")
    yield OddSignup("upper case", upper, plain["upper case"].replace(upper.encode(), upper.upper().encode()))
    for name, uuid_text in {"nil": "0" * 8, "max": "f" * 8}.items():
        digit = uuid_text[0]
        whole = "-".join(digit * size for size in (8, 4, 4, 4, 12))
        yield OddSignup(f"{name} UUID", whole, signup(whole))
    yield from _odd_envelopes()


def _odd_envelopes() -> Iterator[OddSignup]:
    for name, headers in _GOOD_HEADERS.items():
        yield OddSignup(f"headers {name}", _id(name), signup(_id(name)), headers)
    for name, content_type in {
        "charset": b"application/cloudevents+json; charset=UTF-8",
        "capitals": b"Application/CloudEvents+JSON",
    }.items():
        value = structured(signup(_id(name)))
        yield OddSignup(f"structured {name}", _id(name), value, (("content-type", content_type),))
    for name, unannounced in {"no content type": (), "its data's content type": _JSON}.items():
        yield OddSignup(f"structured with {name}", _id(name), structured(signup(_id(name))), unannounced)
    encoded = base64.b64encode(signup(_id("base64"))).decode()
    yield OddSignup("structured base64", _id("base64"), structured(None, data_base64=f'"{encoded}"'), STRUCTURED_TYPE)


_JSON: Headers = (("content-type", b"application/json"),)
_GOOD_HEADERS: dict[str, Headers] = {
    "null": (("x", None), ("ce_id", None), ("content-type", None), ("ce_time", None)),
    "no text": (("x", b"\xff\xfe"), ("ce_id", b"\xc3\x28"), ("ce_time", b"\xff"), ("content-type", b"\xff\xfe")),
    "repeated": (("x", b"1"), ("x", b"2"), ("ce_id", b"1"), ("ce_id", b"2"), ("x", None)),
    "reply_to": (("reply_to", b"customer.churned"),),
    "correlation": (("correlation_id", b"\xff\xff"), ("message_id", None)),
    "hundreds": tuple((f"x-{number % 70}", b"v" * (number % 9)) for number in range(500)),
    "named nothing": (("", b"value"), ("", b"")),
    "named strangely": (("ключ", "значение".encode()), ("a\nb", b"\n"), ("x" * 5000, b"1")),
    "huge": (("x", b"\x00" * 200_000),),
    "an envelope of garbage": (
        ("ce_specversion", b"banana"),
        ("ce_id", b""),
        ("ce_time", b"soon"),
        ("ce_source", b"\xff"),
    ),
    "of a redriven record": (("__dlq.errors.reason", b"invalid"), ("__dlq.errors.redrive.count", b"1")),
}


def odd_cancellations() -> Iterator[OddCancellation]:
    """Every call gives the same."""
    cancellations: dict[str, dict[str, str | None]] = {
        "200 characters beyond the first plane": {"reason": quoted("🚀" * 200)},
        "an empty reason": {"reason": '""'},
        "no reason": {"reason": None},
        "a reason for a spreadsheet": {"reason": quoted('=HYPERLINK("http://example.test")')},
        "a reason with markup": {"reason": quoted("<script>alert(1)</script>\u2028\x7f")},
        "a pair of surrogates": {"reason": r'"\ud83d\ude80"'},
        "the day of signup": {"cancellation_date": '"2026-01-15"'},
        "the first 90 days": {"cancellation_date": '"2026-04-14"'},
        "the day after them": {"cancellation_date": '"2026-04-16"'},
        "the last day there is": {"cancellation_date": '"9999-12-31"'},
        "the next day in UTC": {"cancellation_date": '"2026-06-30T23:59:59.999-00:01"'},
    }
    for name, tokens in cancellations.items():
        yield OddCancellation(name, _id(f"ended/{name}"), cancellation(_id(f"ended/{name}"), **tokens))
    for name, headers in _CANCELLATION_HEADERS.items():
        yield OddCancellation(name, _id(f"ended/{name}"), cancellation(_id(f"ended/{name}")), headers)
    name = "structured"
    attributes = {"id": '"ß-1"', "time": '"2026-06-30T12:00:00.5Z"', "correlationid": '"c-1"', "type": '"x"'}
    value = structured(cancellation(_id(f"ended/{name}")), **attributes)
    yield OddCancellation(name, _id(f"ended/{name}"), value, (*STRUCTURED_TYPE, ("traceparent", _TRACE)))
    name = "structured under its data's content type"
    value = structured(cancellation(_id(f"ended/{name}")), **attributes)
    yield OddCancellation(name, _id(f"ended/{name}"), value, _JSON)
    reordered = spelled(
        {"reason": '"x"', "cancellation_date": '"2026-06-30"', "customer_id": quoted(_id("ended/order"))}
    )
    yield OddCancellation("other order", _id("ended/order"), reordered)


_TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_CANCELLATION_HEADERS: dict[str, Headers] = {
    "headers null": (
        ("x", None),
        ("ce_id", None),
        ("ce_time", None),
        ("ce_correlationid", None),
        ("traceparent", None),
    ),
    "only an id": (("ce_id", b"only-an-id"),),
    "an id of many letters": (("ce_id", "Ω≈ç√∫/ id".encode()), ("ce_correlationid", "日本".encode())),
    "a trace and no envelope": (("traceparent", _TRACE), ("tracestate", b"a=1,b=2")),
    "a time elsewhere": (("ce_time", b"2026-06-30T23:00:00+02:00"),),
    "a time with a space": (("ce_time", b"2026-06-30 23:00:00+02:00"),),
    "a time in small letters": (("ce_time", b"2026-06-30t23:00:00.25z"),),
    "reply_to": (("reply_to", b"customer.churned"), ("ce_id", b"r-1")),
    "other headers": (("x", b"\xff"), ("x", None), ("ce_other", b"\xff")),
}
