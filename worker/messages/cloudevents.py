"""CloudEvents 1.0 for Kafka: the attributes of inbound records, the headers of outbound events.

In: binary mode (`ce_*` headers), structured mode (the whole event as JSON) or no envelope at all.
Source: the CloudEvents specification 1.0.2 and its Kafka protocol binding. One departure: the CloudEvents SDK for
Python 1.x writes structured events under the content type of their data, or under none, so that the value decides.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

import msgspec

from worker.messages.carried_attributes import is_text, time_in_utc
from worker.messages.encoded_headers import MARK, VARINTS, encoded_name
from worker.messages.nesting import require_shallow
from worker.messages.record import Header, TopicPartition, UnpackedRecord, rfc3339
from worker.messages.schema_registry import unframed

JSON: Header = ("content-type", b"application/json")
STRUCTURED = b"application/cloudevents+json"
_REQUIRED = ("specversion", "id", "source", "type")
# No other value has the member `specversion`.
_MARK, _ESCAPE = b'"specversion"', rb"\u"
_BINARY = frozenset(f"ce_{name}" for name in _REQUIRED)


class EnvelopeError(ValueError):
    """A structured event without an attribute that CloudEvents requires; the message names it."""


class _Structured(msgspec.Struct):
    """Attributes as written: one that is not text counts as absent, and need not be a number that Python can hold."""

    specversion: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()
    time: msgspec.Raw = msgspec.Raw()
    correlationid: msgspec.Raw = msgspec.Raw()
    traceparent: msgspec.Raw = msgspec.Raw()
    tracestate: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    data_base64: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Structured).decode
_decode_text = msgspec.json.Decoder(str).decode
_ABSENT = (b"", b"null")
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def is_structured(record: UnpackedRecord) -> bool:
    """Return whether the last content type declares the value to be a structured CloudEvent in JSON."""
    headers = record.headers
    if headers and headers[-1] == JSON:  # the usual last header
        return False
    for name, content_type in reversed(headers):  # of repeated headers the last one counts
        # Most headers differ in length, and most content types are the usual one.
        if len(name) == _CONTENT_TYPE_LENGTH and name.lower() == "content-type":
            return content_type not in _UNSTRUCTURED and content_type.split(b";", 1)[0].strip().lower() == STRUCTURED
    return False


_CONTENT_TYPE_LENGTH = len("content-type")
_UNSTRUCTURED = (b"application/json", b"", None)


def is_unannounced(record: UnpackedRecord) -> bool:
    """Return whether the value is a structured event although no content type declares it.

    It has the required attributes, all of them text, and data. Binary mode wins: with a required attribute among the
    headers, the value is the event's data, whatever it looks like. So does a value with a `customer_id` of its own.
    """
    value = unframed(record.value or b"")
    if _MARK not in value and _ESCAPE not in value:
        return False
    if not _BINARY.isdisjoint(name for name, _ in record.headers):
        return False
    try:
        members = _decode_members(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return (
        "customer_id" not in members
        and all(name in members and bytes(members[name])[:1] == b'"' for name in _REQUIRED)
        and not {"data", "data_base64"}.isdisjoint(members)
    )


def payload(value: bytes) -> bytes:
    """Return the JSON inside a structured event.

    Raises `EnvelopeError` if a required attribute or the data is missing, `msgspec.DecodeError` if the value is not
    JSON, and `UnicodeDecodeError` if encoded data is not UTF-8.
    """
    event = _decode(value)
    for name in _REQUIRED:
        written = bytes(getattr(event, name))
        if written[:1] != b'"' or written == b'""':
            raise EnvelopeError(f"the CloudEvents attribute {name} is missing")
    if _text(event.specversion) != "1.0":
        raise EnvelopeError("the CloudEvents specversion is not 1.0")
    if bytes(event.data_base64) not in _ABSENT:
        return _from_base64(_text(event.data_base64))
    data = bytes(event.data)
    if data in _ABSENT:
        raise EnvelopeError("the CloudEvent has no data")
    return data


def _text(attribute: msgspec.Raw) -> str | None:
    """Return the text of an attribute, None if it is missing or of another kind."""
    written = bytes(attribute)
    return _decode_text(written) if written[:1] == b'"' else None


def _from_base64(data: str | None) -> bytes:
    try:
        value = base64.b64decode(data or "*", validate=True)
    except (ValueError, binascii.Error):
        raise EnvelopeError("the CloudEvents data_base64 is not base64") from None
    value.decode()
    require_shallow(value)
    return value


def caused_by(cause: UnpackedRecord, topic_partition: TopicPartition) -> bytes:
    """Return the headers that an event takes from its source record: its time, causation, correlation and trace.

    They are encoded, see `encoded_headers`. The event is valid for any content of the record: an attribute that cannot
    be carried over counts as absent.
    """
    attributes = dict(cause.headers)  # of repeated headers the last one counts, as for Kafka's own lastHeader
    value = cause.value or b""
    if is_structured(cause) or ((_MARK in value or _ESCAPE in value) and is_unannounced(cause)):
        attributes |= _structured_attributes(cause)
    time, cause_id = attributes.get("ce_time"), attributes.get("ce_id")
    time = (time and time_in_utc(time)) or rfc3339(cause.timestamp).encode()
    if not cause_id or not is_text(cause_id):
        topic, partition = topic_partition
        cause_id = f"{topic}/{partition}/{cause.offset}".encode()
    count, traces = 2, b""
    if not _TRACES.isdisjoint(attributes):
        carried = list(_traces(attributes))
        count, traces = 2 + len(carried), b"".join(carried)
    return b"".join((_STARTS[count], VARINTS[len(time)], time, _CAUSATION, VARINTS[len(cause_id)], cause_id, traces))


_CARRIED_ON = (
    ("ce_correlationid", "ce_correlationid"),
    ("traceparent", "ce_traceparent"),
    ("tracestate", "ce_tracestate"),
)
_TRACES = frozenset(name for names in _CARRIED_ON for name in names)
_STARTS = [bytes((MARK, count)) + encoded_name("ce_time") for count in range(2 + len(_CARRIED_ON) + 1)]
_CAUSATION = encoded_name("ce_causationid")
_NAMES = {name: encoded_name(name) for name, _ in _CARRIED_ON}


def _traces(attributes: Mapping[str, bytes | None]) -> Iterator[bytes]:
    for name, alternative in _CARRIED_ON:
        for value in (attributes.get(name), attributes.get(alternative)):
            if value and is_text(value):
                yield b"".join((_NAMES[name], VARINTS[len(value)], value))
                break


def _structured_attributes(record: UnpackedRecord) -> dict[str, bytes | None]:
    """Return the attributes inside a structured event under their names in binary mode."""
    event = _decode(unframed(record.value or b""))
    names = ("id", "time", "correlationid", "traceparent", "tracestate")
    values = ((name, _text(getattr(event, name))) for name in names)
    return {f"ce_{name}": None if value is None else value.encode() for name, value in values}
