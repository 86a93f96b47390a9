"""The oracle's own way from a record to the JSON object in it, by the contract and the standard library alone.

`Refused` is the contract's answer to a bad record. The sources are docs/contract.md, the JSON Schemas that it names,
and the specifications of CloudEvents and RFC 3339 where it refers to them.
"""

import base64
import datetime as dt
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from tests.support.records import Headers, Record

SIZE_LIMIT = 64 * 1024
DEEPEST = 128
LONGEST_CARRIED = 4096
REQUIRED = ("id", "source", "specversion", "type")


class Refused(Exception):
    """The contract refuses this record, for the reason in `reason`. `customer_id` is that of the record, if any."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.customer_id: str | None = None


class Number(str):
    """A JSON number as it was written, so that no digit is lost before the rules look at it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an event takes over from the envelope of its cause; None for those that are missing or invalid."""

    id: str | None = None
    time: str | None = None
    correlation: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


def text_of(value: object) -> str | None:
    """Return text, None for a JSON number or anything else."""
    return value if isinstance(value, str) and not isinstance(value, Number) else None


def carried(value: bytes | None) -> str | None:
    """Return an attribute that a CloudEvent can have; None for any other, which counts as absent."""
    if not value or len(value) > LONGEST_CARRIED:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    if text.isascii() and text.isprintable():
        return text
    return None if any(map(_is_forbidden, text)) else text


def _is_forbidden(character: str) -> bool:
    """Return whether the type String of CloudEvents excludes it: control characters and noncharacters."""
    code = ord(character)
    return code <= 0x1F or 0x7F <= code <= 0x9F or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


Moment = tuple[dt.datetime, str]
"""A second in UTC, and up to nine digits of its fraction, without zeros at the end."""


@lru_cache(4096)
def moment(text: str) -> Moment | None:
    """Parse an RFC 3339 date-time as a `Moment`; None for any other text. A leap second becomes the second after it."""
    parts = _RFC3339.fullmatch(text)
    if parts is None:
        return None
    day, hour, minute, second, fraction, sign, offset_hour, offset_minute = parts.groups()
    ahead = 0
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60:
        return None
    if sign:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            return None
        ahead = int(f"{sign}1") * (int(offset_hour) * 3600 + int(offset_minute) * 60)
    try:
        midnight = dt.datetime.fromisoformat(f"{day}T00:00:00+00:00")
        # A minute that is in no year is refused, even if its leap second would be in one.
        began = midnight + dt.timedelta(seconds=int(hour) * 3600 + int(minute) * 60 - ahead)
        return began + dt.timedelta(seconds=int(second)), (fraction or "")[:9].rstrip("0")
    except (ValueError, OverflowError):
        return None


def open_record(record: Record, *, accept_framed: bool = False) -> tuple[dict[str, object], Attributes]:
    """Return the payload in a record, and the attributes of its envelope; or raise `Refused`."""
    value = record.value
    if value is None:
        raise Refused("empty")
    if len(value) > SIZE_LIMIT:
        raise Refused("too_large")
    if value[:1] == b"\0":  # the frame of a schema registry: a zero and four bytes of an id
        if len(value) < 5 or not accept_framed:
            raise Refused("malformed")
        value = value[5:]
    payload = strict_json(value)
    if not isinstance(payload, dict):
        raise Refused("malformed")
    if _is_structured(record.headers) or _is_unannounced(payload, record.headers):
        return _open_structured(payload, record.headers)
    return payload, _binary_attributes(record.headers)


def _binary_attributes(headers: Headers) -> Attributes:
    last = dict(headers)  # of several headers with one name the last one counts
    time = last.get("ce_time")
    return Attributes(
        carried(last.get("ce_id")),
        None if time is None else time.decode("latin-1"),
        carried(last.get("ce_correlationid")),
        carried(last.get("traceparent")) or carried(last.get("ce_traceparent")),
        carried(last.get("tracestate")) or carried(last.get("ce_tracestate")),
    )


def _is_structured(headers: Headers) -> bool:
    types = [value for name, value in headers if name.lower() == "content-type"]
    media_type = ((types[-1] if types else None) or b"").split(b";")[0].strip().lower()
    return media_type == b"application/cloudevents+json"


def _is_unannounced(payload: dict[str, object], headers: Headers) -> bool:
    """Return whether the value is a structured event, as the CloudEvents SDK for Python 1.x writes it."""
    if "specversion" not in payload or "customer_id" in payload or not {"data", "data_base64"} & payload.keys():
        return False
    is_binary = any(key == f"ce_{name}" for key, _ in headers for name in REQUIRED)
    return not is_binary and all(text_of(payload.get(name)) is not None for name in REQUIRED)


def _open_structured(envelope: dict[str, object], headers: Headers) -> tuple[dict[str, object], Attributes]:
    if not all(text_of(envelope.get(name)) for name in REQUIRED) or envelope["specversion"] != "1.0":
        raise Refused("malformed")
    if (encoded := envelope.get("data_base64")) is not None:
        data = strict_json(_from_base64(encoded))
    else:
        data = envelope.get("data")
    if not isinstance(data, dict):
        raise Refused("malformed")
    inside = {
        name: text_of(envelope.get(name)) for name in ("id", "time", "correlationid", "traceparent", "tracestate")
    }
    valid = {name: carried(text.encode()) if text is not None else None for name, text in inside.items()}
    last = dict(headers)
    traces = (carried(last.get(name)) or valid[name] for name in ("traceparent", "tracestate"))
    return data, Attributes(valid["id"], inside["time"], valid["correlationid"], *traces)


_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def _from_base64(encoded: object) -> bytes:
    text = text_of(encoded)
    if text is None or not _BASE64.fullmatch(text):
        raise Refused("malformed")
    return base64.b64decode(text)


def _no_constant(name: str) -> object:
    raise ValueError(name)


_decode = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_no_constant).decode
_decode_pairs = json.JSONDecoder(parse_int=Number, parse_constant=_no_constant, object_pairs_hook=list).decode
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def strict_json(value: bytes) -> object:
    """JSON and nothing beside it: UTF-8, no NaN, no lone surrogate, at most `DEEPEST` levels."""
    try:
        text = value.decode("utf-8", errors="strict")
        is_too_deep = text.count("[") + text.count("{") > DEEPEST and depth(text) > DEEPEST
        parsed = None if is_too_deep else _decode(text)
        if not is_too_deep and _SURROGATE.search(text):
            _refuse_lone_surrogates(_decode_pairs(text))
    except ValueError:
        raise Refused("malformed") from None
    if is_too_deep or text.startswith("\ufeff"):  # a byte order mark
        raise Refused("malformed")
    return parsed


_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def depth(text: str) -> int:
    """Return the number of arrays and objects that are open at the deepest place of a JSON text."""
    return max(accumulate((mark in "[{") - (mark in "]}") for mark in _TEXT.sub("", text)), default=0)


def _refuse_lone_surrogates(parsed: object) -> None:
    """Raise `ValueError` for a text that is not Unicode, also one of a member that is repeated."""
    if isinstance(parsed, str):
        parsed.encode("utf-8")
    elif isinstance(parsed, list | tuple):
        for each in parsed:
            _refuse_lone_surrogates(each)
