"""Values framed by a serializer of a schema registry: read if the settings accept them, else rejected."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.support.builders import (
    ADA,
    CANCELLATIONS,
    MAX_BYTES,
    NOON_MS,
    SIGNUPS,
    STRUCTURED_TYPE,
    cancellation_value,
    record,
    signup_value,
    structured_value,
)
from tests.support.published import listed
from worker.bootstrap import batch_path
from worker.messages import cloudevents
from worker.messages.inbound import Decoder, stated_mrr
from worker.messages.message import Cancellation, Decoded, Refused, Signup
from worker.messages.record import Header, PlainRecord
from worker.messages.rejection import Reason, Rejected
from worker.settings import SchemaRegistry, Settings

ACCEPTING = Decoder(SIGNUPS, MAX_BYTES, accept_framed=True)
REFUSING = Decoder(SIGNUPS, MAX_BYTES)


def framed(value: bytes, schema_id: int = 7) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + value


def rejection(decoder: Decoder, received: PlainRecord) -> Rejected:
    found = decoder.decode(received)
    assert isinstance(found, Refused)
    return found.rejected


def terms(received: PlainRecord) -> tuple[object, ...]:
    """Return what the message in a record says, without its place and its size."""
    found = ACCEPTING.decode(received)
    assert isinstance(found, Signup | Cancellation)
    return msgspec.structs.astuple(found)[len(msgspec.structs.fields(Decoded)) :]


@pytest.mark.parametrize("schema_id", [0, 7, 200, 2**32 - 1])
def test_framed_value_is_read_like_one_without_frame(schema_id: int) -> None:
    for value, topic in [(signup_value(), SIGNUPS), (signup_value(mrr="499.5", plan_tier='"GROWTH"'), SIGNUPS)]:
        assert terms(record(framed(value, schema_id), topic)) == terms(record(value, topic))


def test_framed_cancellation_keeps_its_record() -> None:
    received = record(framed(cancellation_value()), CANCELLATIONS)
    found = ACCEPTING.decode(received)
    assert isinstance(found, Cancellation)
    assert found.record() == received
    assert found.size == len(received.value or b"")


def test_many_records_are_decoded_like_one() -> None:
    records = [record(framed(signup_value())), record(signup_value()), record(framed(b"x"))] * 3
    source = record(None)
    assert ACCEPTING.decode_all(records, source) == [ACCEPTING.decode(each, source) for each in records]


@pytest.mark.parametrize("schema_id", [7, 200, 2**32 - 1])
def test_without_the_setting_the_rejection_names_the_cause(schema_id: int) -> None:
    found = rejection(REFUSING, record(framed(signup_value(), schema_id)))
    assert found.reason is Reason.MALFORMED
    for part in ("schema registry", f"schema id {schema_id})", "CUSTOMER_WORKER_SCHEMA_REGISTRY__ACCEPT_FRAMED=true"):
        assert part in found.message


@pytest.mark.parametrize("value", [b"\x02\x06abc", b"\xff", b"[]", b"", b"[" * 100_000])
def test_framed_value_that_is_no_json_names_the_schema_id(value: bytes) -> None:
    found = rejection(Decoder(SIGNUPS, 200_000, accept_framed=True), record(framed(value)))
    assert found.reason is Reason.MALFORMED
    assert "schema registry frame (schema id 7)" in found.message


def test_refused_field_of_a_framed_value_is_named() -> None:
    found = rejection(ACCEPTING, record(framed(signup_value(plan_tier='"platinum"'))))
    assert (found.reason, found.customer_id) == (Reason.UNKNOWN_PLAN_TIER, ADA)


@pytest.mark.parametrize("decoder", [ACCEPTING, REFUSING], ids=["accepting", "refusing"])
@pytest.mark.parametrize("value", [b"\0", b"\0\0\0\0", b"\0{}"])
def test_value_shorter_than_a_frame_is_no_json(decoder: Decoder, value: bytes) -> None:
    assert rejection(decoder, record(value)).message == "the value is not a JSON object"


@pytest.mark.parametrize("headers", [STRUCTURED_TYPE, []], ids=["announced", "not announced"])
def test_framed_structured_event_is_read(headers: list[Header]) -> None:
    event = structured_value(cancellation_value(), time='"2026-06-30T08:15:00Z"')
    received = record(framed(event), CANCELLATIONS, headers=headers)
    assert isinstance(ACCEPTING.decode(received), Cancellation)
    assert dict(listed(cloudevents.caused_by(received, received.topic_partition)))["ce_causationid"] == b"evt-1"
    assert dict(listed(cloudevents.caused_by(received, received.topic_partition)))["ce_time"] == b"2026-06-30T08:15:00Z"


def test_framed_record_causes_an_event_like_any_other() -> None:
    received = record(framed(cancellation_value()), CANCELLATIONS, headers=[("ce_id", b"evt-2")], timestamp=NOON_MS)
    assert dict(listed(cloudevents.caused_by(received, received.topic_partition)))["ce_causationid"] == b"evt-2"


def test_mrr_of_a_refused_framed_signup_is_known() -> None:
    assert stated_mrr(record(framed(signup_value()))) == stated_mrr(record(signup_value()))


@pytest.mark.parametrize(("accept_framed", "kind"), [(True, Signup), (False, Refused)])
def test_setting_decides(accept_framed: bool, kind: type) -> None:
    settings = Settings(schema_registry=SchemaRegistry(accept_framed=accept_framed))
    assert isinstance(batch_path(settings).decoder.decode(record(framed(signup_value()))), kind)


def test_no_other_value_is_taken_for_framed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step costs other records nothing but the comparison of one byte."""

    def fail(*_: object, **__: object) -> Callable[[], None]:
        raise AssertionError

    monkeypatch.setattr("worker.messages.inbound.accepted", fail)
    assert isinstance(ACCEPTING.decode(record(signup_value())), Signup)
    assert isinstance(ACCEPTING.decode_all([record(signup_value(mrr='"1e3"'))], record(None))[0], Signup)
