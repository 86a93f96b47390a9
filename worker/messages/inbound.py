"""Decoding of records into messages: the envelope, the limits, and the rejection of invalid records."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from domain.customer import MRR
from worker.messages import cloudevents
from worker.messages.fast_path import usual_cancellation, usual_messages, usual_signup
from worker.messages.message import Message, Refused
from worker.messages.message_parsing import parse_cancellation, parse_customer_id, parse_mrr, parse_signup
from worker.messages.nesting import NestedTooDeepError, require_shallow
from worker.messages.record import Record, RecordSource, UnpackedRecord, plain
from worker.messages.redrive_headers import claims_to_be_redriven
from worker.messages.rejection import Reason, Rejected
from worker.messages.schema_registry import MAGIC, FramedError, accepted, schema_id, unframed
from worker.messages.validation import FieldRefused


class Decoder:
    """Decoder of records into messages.

    `max_bytes` is the largest value accepted. With `accept_framed`, values framed by a serializer of a schema registry
    are accepted, too.
    """

    def __init__(self, signup_topic: str, max_bytes: int, *, accept_framed: bool = False) -> None:
        self._signup_topic = signup_topic
        self._max_bytes = max_bytes
        self._accept_framed = accept_framed

    def decode_all(self, records: Sequence[UnpackedRecord], source: RecordSource) -> list[Message]:
        """Return the result of `decode` for each of some records of a source, in less time.

        Ids and amounts are checked all at once. If one of them is odd, each record is decoded by itself.
        """
        is_signup = source.topic_partition[0] == self._signup_topic
        usual = usual_messages(records, source, self._max_bytes, are_signups=is_signup)
        return [
            message or self.decode(plain(source.topic_partition, record), source)
            for message, record in zip(usual, records, strict=True)
        ]

    def decode(self, record: Record, source: RecordSource | None = None) -> Message:
        """Return the message in a record, or its refusal. Raises nothing for any content of a record.

        A `PlainRecord` is its own source if there is no other. A refused one always is: all of it is needed again.
        """
        value = record.value
        is_signup = record.topic == self._signup_topic
        if value is None:
            return _refused(record, Reason.EMPTY, "the record has no value")
        if len(value) > self._max_bytes:
            return _refused(
                record, Reason.TOO_LARGE, f"the value has {len(value)} bytes; at most {self._max_bytes} are accepted"
            )
        origin = source or record, record.offset, len(value), claims_to_be_redriven(record)
        try:
            if value[:1] == MAGIC:
                value = accepted(value, is_framed_accepted=self._accept_framed)
            value.isascii() or value.decode()  # the parser does not validate the fields that it skips
            require_shallow(value)
            if cloudevents.is_structured(record):
                value = cloudevents.payload(value)
            message = usual_signup(value, origin) if is_signup else usual_cancellation(value, origin, record)
            if message is None:  # another spelling, refused, or a structured event without its content type
                value = _inside(record, value)
                message = parse_signup(value, origin) if is_signup else parse_cancellation(value, origin, record)
            return message
        except FieldRefused as refused:
            return _refused(record, refused.reason, str(refused), _customer_id_in(value))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return _refused(record, Reason.MALFORMED, _what_is_wrong(error, record.value or b""))


def _refused(record: Record, reason: Reason, message: str, customer_id: str | None = None) -> Refused:
    size, is_redriven = len(record.value or b""), claims_to_be_redriven(record)
    return Refused(record, record.offset, size, is_redriven, Rejected(reason, message, customer_id))


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
    if isinstance(error, NestedTooDeepError | RecursionError):
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
        require_shallow(value)
        value = cloudevents.payload(value) if cloudevents.is_structured(record) else _inside(record, value)
        return parse_mrr(value)
    except (FieldRefused, msgspec.DecodeError, ValueError, RecursionError):
        return None
