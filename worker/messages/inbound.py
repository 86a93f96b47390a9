"""Decoding of records into messages: the envelope, the limits, and the rejection of invalid records."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from domain.customer import MRR
from worker.messages import cloudevents
from worker.messages.fast_path import usual_cancellation, usual_messages, usual_signup
from worker.messages.message_parsing import (
    Cancellation,
    Message,
    Signup,
    parse_cancellation,
    parse_customer_id,
    parse_mrr,
    parse_signup,
)
from worker.messages.record import Record
from worker.messages.rejection import Reason, Rejected
from worker.messages.schema_registry import MAGIC, FramedError, accepted, schema_id, unframed
from worker.messages.validation import FieldRefused

__all__ = ["Cancellation", "Decoder", "Message", "Signup", "stated_mrr"]


CHECKED_AT_ONCE = 250
"""Number of records whose ids and amounts are checked at once; with one odd id among them, each is decoded alone."""


class Decoder:
    """Decoder of records into messages.

    `max_bytes` is the largest value accepted. With `accept_framed`, values framed by a serializer of a schema registry
    are accepted, too.
    """

    def __init__(self, signup_topic: str, max_bytes: int, *, accept_framed: bool = False) -> None:
        self._signup_topic = signup_topic
        self._max_bytes = max_bytes
        self._accept_framed = accept_framed

    def decode_all(self, records: Sequence[Record]) -> list[Message | Rejected]:
        """Return the result of `decode` for each record, in less time for many records of one topic."""
        messages: list[Message | Rejected] = []
        for begin in range(0, len(records), CHECKED_AT_ONCE):
            some = records[begin : begin + CHECKED_AT_ONCE]
            topics = {record.topic for record in some}
            if len(topics) > 1:
                messages += map(self.decode, some)
                continue
            usual = usual_messages(some, self._max_bytes, are_signups=self._signup_topic in topics)
            messages += [
                self.decode(record) if message is None else message for record, message in zip(some, usual, strict=True)
            ]
        return messages

    def decode(self, record: Record) -> Message | Rejected:
        """Return the message in a record, or its rejection. Raises nothing for any content of a record."""
        value = record.value
        is_signup = record.topic == self._signup_topic
        if value is None:
            return Rejected(Reason.EMPTY, "the record has no value")
        if len(value) > self._max_bytes:
            return Rejected(
                Reason.TOO_LARGE, f"the value has {len(value)} bytes; at most {self._max_bytes} are accepted"
            )
        try:
            if value[:1] == MAGIC:
                value = accepted(value, is_framed_accepted=self._accept_framed)
            value.isascii() or value.decode()  # the parser does not validate the fields that it skips
            if cloudevents.is_structured(record):
                value = cloudevents.payload(value)
            message = usual_signup(value) if is_signup else usual_cancellation(value, record)
            if message is None:  # another spelling, refused, or a structured event without its content type
                value = _inside(record, value)
                message = parse_signup(value) if is_signup else parse_cancellation(value, record)
            return message
        except FieldRefused as refused:
            return Rejected(refused.reason, str(refused), _customer_id_in(value))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return Rejected(Reason.MALFORMED, _what_is_wrong(error, record.value or b""))


def _inside(record: Record, value: bytes) -> bytes:
    """Return the data of a structured event without its content type, any other value unchanged."""
    is_whole = not cloudevents.is_structured(record)
    return cloudevents.payload(value) if is_whole and cloudevents.is_unannounced(record) else value


def _what_is_wrong(error: Exception, value: bytes) -> str:
    if isinstance(error, cloudevents.EnvelopeError | FramedError):
        return str(error)
    found = schema_id(value)
    place = "" if found is None else f" after its schema registry frame (schema id {found})"
    if isinstance(error, UnicodeDecodeError):
        return f"the value{place} is not UTF-8"
    if isinstance(error, RecursionError):
        return f"the value{place} is nested too deep"
    return f"the value{place} is not a JSON object"


def _customer_id_in(value: bytes) -> str | None:
    """Return the customer id in a refused message, None if it cannot be read."""
    try:
        return parse_customer_id(value)
    except (FieldRefused, msgspec.DecodeError, ValueError, RecursionError):
        return None


def stated_mrr(record: Record) -> MRR | None:
    """Return the MRR in a refused signup, None if it cannot be read. Raises nothing for any content of a record."""
    value = unframed(record.value or b"")
    try:
        value = cloudevents.payload(value) if cloudevents.is_structured(record) else _inside(record, value)
        return parse_mrr(value)
    except (FieldRefused, msgspec.DecodeError, ValueError, RecursionError):
        return None
