"""Links name the sampled contexts of senders, as events carry them on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.support.builders import (
    CANCELLATIONS,
    SIGNUPS,
    STRUCTURED_TYPE,
    cancellation_value,
    cancelled,
    composer,
    customer,
    decoded,
    record,
    signup_value,
    structured_value,
)
from tests.support.spans import linked, traced, traceparent
from worker.messages.encoded_headers import decode, encode
from worker.messages.message import Refused
from worker.messages.outgoing import Outgoing
from worker.messages.record import Header, PlainRecord
from worker.tracing.sender_contexts import _sampled, links_of_batch, links_of_transaction

SENT = json.dumps(traceparent(7))


def event(headers: list[Header]) -> Outgoing:
    cause = cancelled(record(cancellation_value(), CANCELLATIONS, headers=headers))
    return composer().churned(customer().mark_churned(cause.cancellation_date), cause)


@pytest.mark.parametrize(
    "sent",
    [
        record(signup_value(), headers=traced(7)),
        record(signup_value(), headers=[("ce_traceparent", traceparent(7).encode())]),
        record(structured_value(signup_value(), traceparent=SENT), headers=STRUCTURED_TYPE),
        record(cancellation_value(), CANCELLATIONS, headers=traced(7)),
        record(structured_value(cancellation_value(), traceparent=SENT), CANCELLATIONS, headers=STRUCTURED_TYPE),
        record(b"not JSON", headers=[*traced(7), *STRUCTURED_TYPE]),
        record(None, headers=traced(7)),
    ],
    ids=["signup", "ce_traceparent", "structured signup", "cancellation", "structured", "refused", "tombstone"],
)
def test_batch_is_linked_with_the_context_of_a_sender(sent: PlainRecord) -> None:
    assert linked(links_of_batch(decoded(sent))) == [traceparent(7)]


def test_records_sent_in_one_context_share_a_link() -> None:
    records = [record(signup_value(), offset=offset, headers=traced(offset // 2 + 1)) for offset in range(4)]
    assert linked(links_of_batch(decoded(*records))) == [traceparent(1), traceparent(2)]


@pytest.mark.parametrize(
    "headers",
    [[], traced(7, "00"), [("traceparent", None)], [("traceparent", b"\xff")], [("traceparent", b"1-2-3-1")]],
    ids=["none", "not sampled", "null", "not text", "invalid"],
)
def test_records_without_a_sampled_context_have_no_link(headers: list[Header]) -> None:
    (refused,) = decoded(record(b"{}", SIGNUPS, headers=headers))
    assert isinstance(refused, Refused)
    assert links_of_batch(decoded(record(signup_value(), headers=headers))) == links_of_batch([refused]) == []


def test_transaction_is_linked_with_the_contexts_of_its_records() -> None:
    (refused,) = decoded(record(b"{}", headers=traced(8)))
    assert isinstance(refused, Refused)
    letter = composer().dead_letter(refused.record(), refused.rejected)
    assert linked(links_of_transaction([event(traced(7)), letter])) == [traceparent(7), traceparent(8)]


def test_links_have_no_trace_state() -> None:
    """Its content is free text of the sender."""
    (link,) = links_of_transaction([event([*traced(7), ("tracestate", b"customer=ada")])])
    assert not link.context.trace_state


def by_the_api(value: bytes) -> list[SpanContext]:
    context = TraceContextTextMapPropagator().extract({"traceparent": value.decode("latin-1")}, Context())
    found = get_current_span(context).get_span_context()
    return [found] if found.is_valid and found.trace_flags.sampled else []


fields = st.tuples(
    st.sampled_from([b"00", b"01", b"fe", b"ff", b"0", b"0A"]),
    st.sampled_from([b"4bf92f3577b34da6a3ce929d0e0e4736", b"0" * 32, b"4bf9", b"g" * 32]),
    st.sampled_from([b"00f067aa0ba902b7", b"0" * 16, b"00F067AA0BA902B7"]),
    st.sampled_from([b"00", b"01", b"02", b"03", b"ff", b"1"]),
    st.sampled_from([[], [b""], [b"more"], [b"x", b"y"]]),
)


@given(fields)
def test_contexts_are_read_as_by_the_api(parts: tuple[bytes, bytes, bytes, bytes, list[bytes]]) -> None:
    *four, more = parts
    value = b"-".join([*four, *more])
    assert list(_sampled([value])) == by_the_api(value)


names = st.text(st.characters(codec="utf-8"), max_size=300)


@given(st.lists(st.tuples(names, st.none() | st.binary(max_size=300)), max_size=10))
def test_encoded_headers_are_decoded(headers: list[Header]) -> None:
    assert decode(encode(headers)) == headers
