"""CloudEvents 1.0 for Kafka: the attributes of what comes in, the headers of what goes out.

In: binary mode (`ce_*` headers), structured mode (the whole event as JSON) or no envelope at all.
Source: the CloudEvents specification 1.0.2 and its Kafka protocol binding.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime

import msgspec

from worker.records import Header, Record, coordinates, rfc3339

STRUCTURED = b"application/cloudevents+json"
_REQUIRED = ("specversion", "id", "source", "type")
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}):([0-5][0-9]|60)(\.[0-9]+)?([Zz]|[+-][0-2][0-9]:[0-5][0-9])"
).fullmatch


class EnvelopeError(ValueError):
    """A structured event that lacks what CloudEvents requires of it; the message says what."""


class Attributes(msgspec.Struct, frozen=True):
    """What an envelope says of the event in it, where it says so."""

    id: str | None = None
    time: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


class _Structured(msgspec.Struct):
    specversion: object = None
    id: object = None
    source: object = None
    type: object = None
    time: object = None
    correlationid: object = None
    traceparent: object = None
    tracestate: object = None
    data: msgspec.Raw = msgspec.Raw()
    data_base64: object = None


_decode = msgspec.json.Decoder(_Structured).decode


def is_structured(record: Record) -> bool:
    """Whether the record's value is a whole CloudEvent in JSON, as its last content type says."""
    for name, content_type in reversed(record.headers):  # of repeated headers the last one counts
        # Most headers are told apart by their length, and most content types by being the usual one.
        if len(name) == _CONTENT_TYPE_LENGTH and name.lower() == "content-type":
            return content_type not in _UNSTRUCTURED and content_type.split(b";", 1)[0].strip().lower() == STRUCTURED
    return False


_CONTENT_TYPE_LENGTH = len("content-type")
_UNSTRUCTURED = (b"application/json", b"", None)


def payload(value: bytes) -> bytes:
    """The JSON inside a structured event.

    Raises `EnvelopeError` where a required attribute or the data is missing, `msgspec.DecodeError` where the value
    is not JSON, `UnicodeDecodeError` where encoded data is not UTF-8.
    """
    event = _decode(value)
    for name in _REQUIRED:
        text = getattr(event, name)
        if not isinstance(text, str) or not text:
            raise EnvelopeError(f"the CloudEvents attribute {name} is missing")
    if event.specversion != "1.0":
        raise EnvelopeError("the CloudEvents specversion is not 1.0")
    if event.data_base64 is not None:
        return _from_base64(event.data_base64)
    if bytes(event.data) in {b"", b"null"}:
        raise EnvelopeError("the CloudEvent has no data")
    return bytes(event.data)


def _from_base64(data: object) -> bytes:
    try:
        value = base64.b64decode(data, validate=True)  # type: ignore[arg-type]
    except (TypeError, ValueError, binascii.Error):
        raise EnvelopeError("the CloudEvents data_base64 is not base64") from None
    value.decode()
    return value


def attributes(record: Record) -> Attributes:
    """What the record's envelope says; an attribute that cannot be read counts as absent."""
    headers = dict(record.headers)  # of repeated headers the last one counts, as for Kafka's own lastHeader
    if is_structured(record):
        event = _decode(record.value or b"")
        return Attributes(
            id=_text(event.id),
            time=_moment(_text(event.time)),
            correlation_id=_text(event.correlationid),
            traceparent=_header(headers, "traceparent") or _text(event.traceparent),
            tracestate=_header(headers, "tracestate") or _text(event.tracestate),
        )
    return Attributes(
        id=_header(headers, "ce_id"),
        time=_moment(_header(headers, "ce_time")),
        correlation_id=_header(headers, "ce_correlationid"),
        traceparent=_header(headers, "traceparent") or _header(headers, "ce_traceparent"),
        tracestate=_header(headers, "tracestate") or _header(headers, "ce_tracestate"),
    )


def _header(headers: dict[str, bytes | None], name: str) -> str | None:
    value = headers.get(name)
    try:
        return value.decode() if value else None
    except UnicodeDecodeError:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(text: str | None) -> str | None:
    if text is None or not (match := _RFC3339(text)):
        return None
    try:
        datetime.fromisoformat(match[1])
    except ValueError:  # not of the calendar, or the clock
        return None
    return text


def caused_by(cause: Record) -> Iterator[Header]:
    """The headers that an event has from the record which led to it: its time, and what it is to be traced by."""
    said = attributes(cause)
    yield "ce_time", (said.time or rfc3339(cause.timestamp)).encode()
    yield "ce_causationid", (said.id or coordinates(cause)).encode()
    if said.correlation_id:
        yield "ce_correlationid", said.correlation_id.encode()
    if said.traceparent:
        yield "traceparent", said.traceparent.encode()
    if said.tracestate:
        yield "tracestate", said.tracestate.encode()
