"""Outgoing records: `customer.churned` events and dead letters."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec

from domain.customer import CustomerChurned
from worker import __version__
from worker.messages import cloudevents
from worker.messages.churned_event import encode_churned
from worker.messages.record import Header, Record
from worker.messages.rejection import Rejected
from worker.messages.uuid_fast_path import uuid5

EVENT_TYPE = b"customer.churned"
DATASCHEMA = b"urn:customer-worker:schema:customer.churned:1"
DEAD_LETTER_PREFIX = "__dlq.errors."
REDRIVE_COUNT = f"{DEAD_LETTER_PREFIX}redrive.count"
# The namespace of event ids. A change would give every churn a second id, and so publish every event again.
_CHURNS = uuid.UUID("5b0c6a52-9d1e-5f6b-8f6a-2c1d7f0e4a11").bytes


def churned_id(customer_id: str) -> str:
    """Return the event id of a customer's churn: UUIDv5 of the customer id alone, as a customer churns once.

    Attributes that can differ between two readings of the same topics (a date, a partition, a clock) are not part of
    the id, so a store rebuilt from nothing recognises its published events.
    """
    return uuid5(_CHURNS, customer_id)


def dead_letter_id(topic: str, partition: int | str, offset: int | str, timestamp: int | str) -> str:
    """Return a dead letter's id: the coordinates of its record, and the timestamp in case the topic is recreated."""
    return f"{topic}/{partition}/{offset}@{timestamp}"


def redrive_count(headers: Sequence[Header]) -> int:
    """Return the number of redrives from the last header of that name; 0 if it is missing or invalid."""
    count = dict(headers).get(REDRIVE_COUNT)
    return int(count) if count and count.isdigit() and len(count) < 10 else 0  # noqa: PLR2004


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to be published once: an event, or a dead letter with key, value and headers byte for byte.

    An event has no `partition` and no `key`: both follow from its customer id. Its `headers` are those taken from its
    source record; `Envelope` adds the others when it is sent. `timestamp` is that of the source record in
    milliseconds since 1970; -1 if it has none.
    """

    id: str
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    customer_id: str | None
    timestamp: int = -1


class Envelope:
    """The headers common to all events. They are not stored in the outbox: they would be half of each row."""

    def __init__(self, source: str) -> None:
        self._common: list[Header] = [
            ("ce_specversion", b"1.0"),
            ("ce_source", source.encode()),
            ("ce_type", EVENT_TYPE),
            ("ce_dataschema", DATASCHEMA),
            ("content-type", b"application/json"),
        ]

    def key_and_headers(self, message: Outgoing) -> tuple[bytes | None, Sequence[Header]]:
        """Return the key and the headers of the record on its topic."""
        if message.partition is not None:
            return message.key, message.headers
        key = customer_key(message)
        return key, [*self._common, ("ce_id", message.id.encode()), ("ce_subject", key), *message.headers]


def customer_key(event: Outgoing) -> bytes:
    """Return the key of an event."""
    return (event.customer_id or "").encode()


class Composer:
    """Composer of outgoing records for the topics and the group of the settings."""

    def __init__(self, *, churned_topic: str, dead_letter_suffix: str, group_id: str) -> None:
        self._churned_topic = churned_topic
        self._dead_letter_suffix = dead_letter_suffix
        self._group_id = group_id

    def churned(self, event: CustomerChurned, cause: Record) -> Outgoing:
        """Encode the event as a record; `cause` is the cancellation that led to it."""
        return Outgoing(
            id=churned_id(event.customer_id),
            topic=self._churned_topic,
            partition=None,
            key=None,
            value=encode_churned(event),
            headers=cloudevents.caused_by(cause),
            customer_id=event.customer_id,
            timestamp=cause.timestamp,
        )

    def dead_letter(self, record: Record, rejected: Rejected) -> Outgoing:
        """Return the record as received, with error headers; those of an earlier dead letter are replaced."""
        error_headers = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "group": self._group_id,
            "reason": rejected.reason.value,
            "message": rejected.message,
            "app.version": __version__,
            "redrive.count": redrive_count(record.headers),
        }
        return Outgoing(
            id=dead_letter_id(record.topic, record.partition, record.offset, record.timestamp),
            topic=record.topic + self._dead_letter_suffix,
            partition=record.partition,
            key=record.key,
            value=record.value,
            headers=[header for header in record.headers if not header[0].startswith(DEAD_LETTER_PREFIX)]
            + [(DEAD_LETTER_PREFIX + name, str(value).encode()) for name, value in error_headers.items()],
            customer_id=rejected.customer_id,
            timestamp=record.timestamp,
        )
