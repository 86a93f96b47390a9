"""The oracle's own way from a record to the JSON object in it, by the contract and the standard library alone.

`Refused` is the contract's answer to a bad record. `Undecided` means that the contract does not say: the corpus has no
such record, so meeting one is a mistake of the corpus, not of the worker.
"""

import base64
import binascii
import datetime as dt
import json
import re
from dataclasses import dataclass

from tests.support.records import Headers, Record

SIZE_LIMIT = 64 * 1024
# Far apart on purpose: what lies between is deep for some readers and not for others.
SURELY_FLAT, SURELY_TOO_DEEP = 64, 2_000
UNDECIDED = "\0undecided"


class Refused(Exception):
    """The contract refuses this record, for the reason in `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Undecided(Exception):
    """The contract does not say what becomes of this."""


class Number(str):
    """A JSON number as it was written, so that no digit is lost before the rules look at it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of the envelope; None for those that are missing."""

    id: str | None
    time: str | None
    correlation: str | None


def header(headers: Headers, name: str) -> str | None:
    """Return the text of a header; None where it is absent or null."""
    values = {value for key, value in headers if key == name}
    if len(values) > 1:
        raise Undecided(f"{name} is there with {len(values)} different values")
    if not values or (value := values.pop()) is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Undecided(f"{name} is not UTF-8") from None


def moment(text: str) -> dt.datetime:
    """Parse an RFC 3339 date-time as UTC; only the plain forms that every parser reads alike."""
    text = text.upper().replace(" ", "T")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", text, re.ASCII):
        raise Undecided(f"{text!r} as a moment")
    fraction = re.search(r"\.(\d+)", text)
    if fraction:  # Python 3.11 takes any number of digits up to six only from its own writer: pad them
        text = text.replace(fraction[0], "." + fraction[1].ljust(6, "0"))
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


def open_record(record: Record) -> tuple[dict[str, object], Attributes]:
    """Return the payload in a record, and the attributes of its envelope; or raise `Refused`."""
    if record.value is None:
        raise Refused("empty")
    if len(record.value) > SIZE_LIMIT:
        raise Refused("too_large")
    payload = strict_json(record.value)
    if not isinstance(payload, dict):
        raise Refused("malformed")
    if _is_structured(record.headers) or _is_unannounced(payload, record.headers):
        return _open_structured(payload)
    return payload, Attributes(*(_attribute(record.headers, f"ce_{name}") for name in ("id", "time", "correlationid")))


def _attribute(headers: Headers, name: str) -> str | None:
    """Return an attribute of the binary mode; one that is undecided matters only once an event would carry it on."""
    try:
        return header(headers, name)
    except Undecided:
        return UNDECIDED


def _is_structured(headers: Headers) -> bool:
    try:
        content_type = header(headers, "content-type")
    except Undecided:
        if any(b"cloudevents" in (value or b"") for key, value in headers if key == "content-type"):
            raise
        return False
    if content_type is None:
        return False
    media_type = content_type.split(";")[0].strip().lower()
    if media_type.startswith("application/cloudevents") and media_type != "application/cloudevents+json":
        raise Undecided(content_type)
    return media_type == "application/cloudevents+json"


def _is_unannounced(payload: dict[str, object], headers: Headers) -> bool:
    """Return whether the value is a structured event, as the CloudEvents SDK for Python 1.x writes it."""
    required = ("id", "source", "specversion", "type")
    is_binary = any(key == f"ce_{name}" for key, _ in headers for name in required)
    is_whole = all(isinstance(payload.get(name), str) and not isinstance(payload[name], Number) for name in required)
    return is_whole and not is_binary and "customer_id" not in payload and bool({"data", "data_base64"} & {*payload})


def _open_structured(envelope: dict[str, object]) -> tuple[dict[str, object], Attributes]:
    for name in ("id", "source", "specversion", "type"):
        value = envelope.get(name)
        if value is None:  # the JSON format takes null for "not set"
            raise Refused("malformed")
        if not isinstance(value, str) or isinstance(value, Number) or not value:
            raise Undecided(f"{name} is there and is no text")
    if envelope["specversion"] != "1.0":
        raise Undecided("another specversion")
    if "traceparent" in envelope or "tracestate" in envelope:
        raise Undecided("a trace in the envelope")
    data = _structured_data(envelope)
    if not isinstance(data, dict):
        raise Refused("malformed")
    known = {name: envelope.get(name) for name in ("id", "time", "correlationid")}
    if any(value is not None and (not isinstance(value, str) or isinstance(value, Number)) for value in known.values()):
        raise Undecided("an attribute that is no text")
    return data, Attributes(*(None if value is None else str(value) for value in known.values()))


def _structured_data(envelope: dict[str, object]) -> object:
    if ("data_base64" in envelope) == ("data" in envelope):
        raise Undecided("no data, or data twice")
    if "data" in envelope:
        if envelope["data"] is None:
            raise Undecided("data that is null")
        return envelope["data"]
    encoded = envelope["data_base64"]
    try:
        return strict_json(base64.b64decode(str(encoded), validate=True))
    except binascii.Error:
        raise Undecided("data_base64 that is not base64") from None


def strict_json(value: bytes) -> object:
    """JSON and nothing beside it: UTF-8, no NaN, no lone surrogate, no depth that ends a reader."""
    try:
        text = value.decode("utf-8", errors="strict")
        if text.count("[") + text.count("{") > SURELY_FLAT:
            _refuse_depth(text)
        parsed = json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_no_constant)
        if "\\u" in text:
            _refuse_lone_surrogates(parsed)
    except (ValueError, RecursionError):
        raise Refused("malformed") from None
    return parsed


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _refuse_depth(text: str) -> None:
    depth = deepest = 0
    for mark in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    if deepest > SURELY_TOO_DEEP:
        raise ValueError("too deep")
    if deepest > SURELY_FLAT:
        raise Undecided(f"{deepest} levels")


def _refuse_lone_surrogates(parsed: object) -> None:
    if isinstance(parsed, str):
        parsed.encode("utf-8")
    elif isinstance(parsed, list):
        for each in parsed:
            _refuse_lone_surrogates(each)
    elif isinstance(parsed, dict):
        for name, each in parsed.items():
            name.encode("utf-8")
            _refuse_lone_surrogates(each)
