"""What the worker sends: `customer.churned` events and dead letters, complete to the byte."""

from __future__ import annotations

import uuid

import msgspec

from domain.customer import CustomerChurned
from worker import __version__, cloudevents
from worker.messages import encode_churned
from worker.outcomes import Rejected
from worker.records import Header, Record, coordinates

EVENT_TYPE = "customer.churned"
DATASCHEMA = "urn:customer-worker:schema:customer.churned:1"
DEAD_LETTER_PREFIX = "__dlq.errors."
# The namespace of event ids. Changing it gives every churn a second id, and so every reader a second event.
_CHURNS = uuid.UUID("5b0c6a52-9d1e-5f6b-8f6a-2c1d7f0e4a11")


def churned_id(customer_id: str) -> str:
    """The event id of a customer's churn: UUIDv5 of the customer alone, for a customer churns once.

    Nothing that can differ between two readings of the same topics (a date, a partition, a clock) is part of it, so
    a store rebuilt from nothing recognises what it published before.
    """
    return str(uuid.uuid5(_CHURNS, customer_id))


def dead_letter_id(topic: str, partition: int | str, offset: int | str, timestamp: int | str) -> str:
    """A dead letter's id: its record's coordinates, and timestamp lest a recreated topic's record pass for an old one."""
    return f"{topic}/{partition}/{offset}@{timestamp}"


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to be published once. `partition` is None where the key decides."""

    id: str
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    customer_id: str | None


class Composer:
    """Writes outgoing records as the settings have it."""

    def __init__(self, *, churned_topic: str, dead_letter_suffix: str, source: str, group_id: str) -> None:
        self._churned_topic = churned_topic
        self._dead_letter_suffix = dead_letter_suffix
        self._source = source
        self._group_id = group_id

    def churned(self, event: CustomerChurned, cause: Record) -> Outgoing:
        """The event as a record; `cause` is the cancellation that brought it."""
        event_id = churned_id(event.customer_id)
        return Outgoing(
            id=event_id,
            topic=self._churned_topic,
            partition=None,
            key=event.customer_id.encode(),
            value=encode_churned(event),
            headers=cloudevents.binary_headers(
                event_id=event_id,
                source=self._source,
                event_type=EVENT_TYPE,
                subject=event.customer_id,
                dataschema=DATASCHEMA,
                cause=cause,
                cause_name=coordinates(cause),
            ),
            customer_id=event.customer_id,
        )

    def dead_letter(self, record: Record, rejected: Rejected) -> Outgoing:
        """The record as received, with why it was rejected; what an earlier dead letter said of it is replaced."""
        redrives = dict(record.headers).get(f"{DEAD_LETTER_PREFIX}redrive.count")
        told = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "group": self._group_id,
            "reason": rejected.reason.value,
            "message": rejected.message,
            "app.version": __version__,
            "redrive.count": int(redrives) if redrives and redrives.isdigit() and len(redrives) < 10 else 0,  # noqa: PLR2004
        }
        return Outgoing(
            id=dead_letter_id(record.topic, record.partition, record.offset, record.timestamp),
            topic=record.topic + self._dead_letter_suffix,
            partition=record.partition,
            key=record.key,
            value=record.value,
            headers=[header for header in record.headers if not header[0].startswith(DEAD_LETTER_PREFIX)]
            + [(DEAD_LETTER_PREFIX + name, str(value).encode()) for name, value in told.items()],
            customer_id=rejected.customer_id,
        )
