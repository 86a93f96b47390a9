"""Envelopes: binary, structured, none, and invalid ones."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pytest

from tests.support.builders import (
    ADA,
    CANCELLATIONS,
    STRUCTURED_TYPE,
    cancellation_value,
    record,
    signup_value,
    structured_value,
)
from tests.support.published import listed
from worker.messages import cloudevents
from worker.messages.cloudevents import EnvelopeError
from worker.messages.record import Header, PlainRecord, Record, coordinates, rfc3339

BINARY: list[Header] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"evt-1"),
    ("ce_source", b"/billing"),
    ("ce_type", b"customer.cancelled"),
    ("ce_time", b"2026-06-30T11:59:59.5+02:00"),
    ("ce_correlationid", b"corr-1"),
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", b"vendor=1"),
    ("content-type", b"application/json"),
]


@dataclass
class Attributes:
    """Return the value of an attribute; None if it cannot be carried on."""

    id: str | None = None
    time: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


def attributes(cause: Record) -> Attributes:
    """Return the attributes that an event carries on from the record's envelope, without defaults."""
    carried = {
        name: value.decode()
        for name, value in listed(cloudevents.caused_by(cause, cause.topic_partition))
        if value is not None
    }
    said_id, said_time = carried["ce_causationid"], carried["ce_time"]
    return Attributes(
        None if said_id == coordinates(cause) else said_id,
        None if said_time == rfc3339(cause.timestamp) else said_time,
        carried.get("ce_correlationid"),
        carried.get("traceparent"),
        carried.get("tracestate"),
    )


SAID = Attributes(
    id="evt-1",
    time="2026-06-30T09:59:59.5Z",
    correlation_id="corr-1",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate="vendor=1",
)


def cancelled(headers: Sequence[Header] = (), value: bytes | None = None) -> PlainRecord:
    return record(value or cancellation_value(), CANCELLATIONS, 7, partition=3, headers=headers)


# Which mode


@pytest.mark.parametrize("text", [
    b"application/cloudevents+json", b"application/cloudevents+json; charset=utf-8", b"APPLICATION/CloudEvents+JSON",
    b" application/cloudevents+json ;charset=utf-8",
], ids=["plain", "with a charset", "in capitals", "with spaces"])  # fmt: skip
@pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT-TYPE"])
def test_the_content_type_makes_a_record_structured(name: str, text: bytes) -> None:
    assert cloudevents.is_structured(cancelled([("x", b""), (name, text)]))


@pytest.mark.parametrize("headers", [
    [], BINARY, [("content-type", None)], [("content-type", b"")], [("content-type", b"application/json")],
    [("content-type", b"application/cloudevents-batch+json")], [("content-type", b"application/cloudevents+avro")],
    [("ce_datacontenttype", b"application/cloudevents+json")], [("content-type", b"\xff\xfe")],
    [("content_type", b"application/cloudevents+json")], [("content-type", b"application/cloudevents+jsonx")],
], ids=["no headers", "binary mode", "null", "empty", "JSON", "a batch", "Avro", "another header", "bytes",
        "another spelling", "something longer"])  # fmt: skip
def test_other_content_types_are_not_structured(headers: list[Header]) -> None:
    assert not cloudevents.is_structured(cancelled(headers))


@pytest.mark.parametrize(("types", "is_structured"), [
    ([b"application/json", b"application/cloudevents+json"], True),
    ([b"application/cloudevents+json", b"text/plain"], False),
    ([b"application/cloudevents+json", None], False),
], ids=["structured last", "structured first", "null last"])  # fmt: skip
def test_last_of_repeated_content_types_counts(types: list[bytes | None], is_structured: bool) -> None:
    headers: list[Header] = [("content-type", value) for value in types]
    assert cloudevents.is_structured(cancelled(headers)) is is_structured


@pytest.mark.parametrize("headers", [
    [], [("content-type", b"application/json")], [("content-type", b"text/plain"), ("ce_time", b"x")],
], ids=["no headers", "JSON", "another type"])  # fmt: skip
@pytest.mark.parametrize("data", [
    structured_value(cancellation_value()), structured_value(None, data_base64='"e30="'), structured_value(b"null"),
    structured_value(cancellation_value(), specversion='"0.3"'),
], ids=["data", "base64", "null data", "another version"])  # fmt: skip
def test_event_is_recognised_without_its_content_type(headers: list[Header], data: bytes) -> None:
    assert cloudevents.is_unannounced(cancelled(headers, data))


@pytest.mark.parametrize("name", [r"specversio\u006e", r"\u0073pecversion"])
def test_event_is_recognised_with_an_escaped_name(name: str) -> None:
    value = structured_value(cancellation_value(), time='"2026-06-30T12:00:00Z"')
    escaped = cancelled([], value.replace(b"specversion", name.encode()))
    assert cloudevents.is_unannounced(escaped)
    assert attributes(escaped) == Attributes(id="evt-1", time="2026-06-30T12:00:00Z")


@pytest.mark.parametrize("name", ["ce_specversion", "ce_id", "ce_source", "ce_type"])
def test_binary_mode_wins_over_an_event_in_the_value(name: str) -> None:
    assert not cloudevents.is_unannounced(cancelled([(name, b"x")], structured_value(cancellation_value())))


@pytest.mark.parametrize("value", [
    cancellation_value(), structured_value(None), structured_value(cancellation_value(), customer_id=f'"{ADA}"'),
    *(structured_value(cancellation_value(), **{name: token})
      for name in ("specversion", "id", "source", "type") for token in (None, "1", "null", "{}")),
    b'["specversion"]', b'{"specversion"', b'"specversion"', b'{"a": {"specversion": "1.0"}}',
], ids=repr)  # fmt: skip
def test_other_value_is_no_event(value: bytes) -> None:
    assert not cloudevents.is_unannounced(cancelled([], value))


# What is inside


@pytest.mark.parametrize("data", [signup_value(), b"[]", b'"text"', b"1e400", b"{}"], ids=repr)
def test_data_of_a_structured_event_is_kept_as_written(data: bytes) -> None:
    assert cloudevents.payload(structured_value(data)) == data


def test_data_in_base64_is_decoded() -> None:
    encoded = base64.b64encode(signup_value()).decode()
    assert cloudevents.payload(structured_value(None, data_base64=f'"{encoded}"')) == signup_value()


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize(
    "token",
    [None, "null", '""', "1", '["x"]', "1e400"],
    ids=["missing", "null", "empty", "number", "list", "huge number"],
)
def test_a_structured_event_needs_each_required_attribute(attribute: str, token: str | None) -> None:
    with pytest.raises(EnvelopeError, match=attribute):
        cloudevents.payload(structured_value(signup_value(), **{attribute: token}))


@pytest.mark.parametrize("version", ["0.3", "1", "2.0", "1.0 "])
def test_another_version_of_cloudevents_is_refused(version: str) -> None:
    with pytest.raises(EnvelopeError, match=r"specversion is not 1\.0"):
        cloudevents.payload(structured_value(signup_value(), specversion=f'"{version}"'))


@pytest.mark.parametrize("tokens", [
    {}, {"data": "null"}, {"data_base64": '"###"'},
    {"data_base64": "1"}, {"data_base64": '"é"'}, {"data_base64": '"e30"'},
], ids=["no data", "null data", "no base64", "a number", "not ASCII", "padding missing"])  # fmt: skip
def test_a_structured_event_without_readable_data_is_refused(tokens: dict[str, str]) -> None:
    with pytest.raises(EnvelopeError):
        cloudevents.payload(structured_value(None, **tokens))


def test_base64_data_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        cloudevents.payload(structured_value(None, data_base64=f'"{base64.b64encode(bytes([255])).decode()}"'))


@pytest.mark.parametrize("value", [b"", b"[]", b"1", b"{", b'{"id": 1e}'], ids=repr)
def test_value_that_is_no_json_object_is_no_event(value: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        cloudevents.payload(value)


def test_extension_attributes_of_any_kind_are_ignored() -> None:
    value = structured_value(signup_value(), subject="1", extra='{"a": []}', dataschema="null", datacontenttype="true")
    assert cloudevents.payload(value) == signup_value()


# What the envelope says


def test_binary_mode_has_the_attributes() -> None:
    assert attributes(cancelled(BINARY)) == SAID


def test_structured_mode_has_the_same_attributes() -> None:
    tokens = {
        "time": '"2026-06-30T11:59:59.5+02:00"', "correlationid": '"corr-1"', "traceparent": f'"{SAID.traceparent}"',
        "tracestate": '"vendor=1"',
    }  # fmt: skip
    event = cancelled(STRUCTURED_TYPE, structured_value(cancellation_value(), **tokens))
    assert attributes(event) == SAID


def test_event_without_content_type_has_the_same_attributes() -> None:
    value = structured_value(cancellation_value(), time='"2026-06-30T12:00:00Z"', correlationid='"c"')
    said = Attributes(id="evt-1", time="2026-06-30T12:00:00Z", correlation_id="c")
    assert attributes(cancelled([("content-type", b"application/json")], value)) == said


def test_bare_record_has_no_attributes() -> None:
    assert attributes(cancelled()) == Attributes()


def test_trace_headers_override_structured_attributes() -> None:
    value = structured_value(cancellation_value(), traceparent='"inside"', tracestate='"inside"')
    headers = [*STRUCTURED_TYPE, ("traceparent", b"outside")]
    said = attributes(cancelled(headers, value))
    assert (said.traceparent, said.tracestate) == ("outside", "inside")


def test_a_trace_may_come_as_an_extension_attribute() -> None:
    said = attributes(cancelled([("ce_traceparent", b"00-x"), ("ce_tracestate", b"y")]))
    assert (said.traceparent, said.tracestate) == ("00-x", "y")


def test_invalid_trace_header_leaves_the_extension_attribute() -> None:
    headers: list[Header] = [("traceparent", b"\xff"), ("ce_traceparent", b"00-x"), ("tracestate", b"\n")]
    said = attributes(cancelled(headers))
    assert (said.traceparent, said.tracestate) == ("00-x", None)


def test_last_of_repeated_headers_counts() -> None:
    said = attributes(cancelled([("ce_id", b"1"), ("ce_time", None), ("ce_id", b"2")]))
    assert (said.id, said.time) == ("2", None)
    assert attributes(cancelled([("ce_id", b"1"), ("ce_id", None)])).id is None


NO_TEXT = {
    "null": None, "empty": b"", "bytes": b"\xff", "surrogates": b"\xed\xa0\x80", "a line feed": b"a\nb", "NUL": b"\0",
    "delete": b"\x7f", "a control character": "\x9f".encode(), "a noncharacter": "\ufffe".encode(),
    "a noncharacter beyond": "\U0010ffff".encode(), "too long": b"x" * 4097, "too long in bytes": "é".encode() * 2049,
}  # fmt: skip


@pytest.mark.parametrize("value", NO_TEXT.values(), ids=NO_TEXT)
@pytest.mark.parametrize("name", ["ce_id", "ce_time", "ce_correlationid", "traceparent", "tracestate"])
def test_a_header_that_is_no_text_counts_as_absent(name: str, value: bytes | None) -> None:
    assert attributes(cancelled([(name, value)])) == Attributes()


@pytest.mark.parametrize("text", ["x" * 4096, "é" * 2048, "a b~", "日本 😀", " "], ids=len)
def test_any_text_attribute_is_kept(text: str) -> None:
    said = attributes(cancelled([("ce_id", text.encode()), ("tracestate", text.encode())]))
    assert (said.id, said.tracestate) == (text, text)


@pytest.mark.parametrize(("text", "published"), [
    ("2026-06-30T12:00:00Z", "2026-06-30T12:00:00Z"),
    ("2026-06-30T12:00:00.120Z", "2026-06-30T12:00:00.120Z"),
    ("2026-06-30t12:00:00z", "2026-06-30T12:00:00Z"),
    ("2026-06-30 12:00:00-00:00", "2026-06-30T12:00:00Z"),
    ("2026-06-30T12:00:00.123456789+14:00", "2026-06-29T22:00:00.123456789Z"),
    ("2026-06-30T12:00:00.1234567891-23:59", "2026-07-01T11:59:00.123456789Z"),
    ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.5Z"),
    ("2017-01-01T00:59:60+01:00", "2017-01-01T00:00:00Z"),
    ("2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
    ("0001-01-01T00:00:00-01:00", "0001-01-01T01:00:00Z"),
])  # fmt: skip
def test_a_time_is_published_in_utc(text: str, published: str) -> None:
    assert attributes(cancelled([("ce_time", text.encode())])).time == published
    structured = structured_value(cancellation_value(), time=f'"{text}"')
    assert attributes(cancelled(STRUCTURED_TYPE, structured)).time == published


@pytest.mark.parametrize("text", [
    "yesterday", "2026-06-30", "1782820800", "2026-06-30T12:00:00", "2026-06-30T12:00Z", "2026-06-30T12:00:00Z\n",
    "\u0662\u0660\u0662\u0666-06-30T12:00:00Z", "2026-02-30T12:00:00Z", "2026-06-30T25:00:00Z", "2026-06-30T12:00:61Z",
    "2026-06-30T12:00:00+29:59", "2026-06-30T12:00:00+24:00", "2026-06-30T12:00:00123Z", "2026-06-30T12:00:00.Z",
    "0000-06-15T12:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:00-01:00", "2026-13-01T12:00:00Z",
])  # fmt: skip
def test_a_time_that_is_not_rfc_3339_counts_as_absent(text: str) -> None:
    assert attributes(cancelled([("ce_time", text.encode())])).time is None
    structured = structured_value(cancellation_value(), time=json.dumps(text, ensure_ascii=False))
    assert attributes(cancelled(STRUCTURED_TYPE, structured)).time is None


@pytest.mark.parametrize("token", ["null", "1", "true", "[]", "{}", '""', "1e400", "9" * 5000, "-1e-999"])
def test_an_attribute_of_the_wrong_kind_counts_as_absent(token: str) -> None:
    value = structured_value(cancellation_value(), time=token, correlationid=token, traceparent=token, tracestate=token)
    assert attributes(cancelled(STRUCTURED_TYPE, value)) == Attributes(id="evt-1")
