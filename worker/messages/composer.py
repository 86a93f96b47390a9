"""Composer of what a batch publishes: an event of each churn, a dead letter of each rejected record."""

from __future__ import annotations

from domain.customer import CustomerChurned
from worker.messages.churned_event import churned_id, encode_churned
from worker.messages.dead_letter import dead_letter_headers, dead_letter_id
from worker.messages.message import Cancellation
from worker.messages.outgoing import Outgoing
from worker.messages.record import Record
from worker.messages.rejection import Rejected


class Composer:
    """Composer of outgoing records for the topics and the group of the settings."""

    def __init__(self, *, churned_topic: str, dead_letter_suffix: str, group_id: str) -> None:
        self._churned_topic = churned_topic
        self._dead_letter_suffix = dead_letter_suffix
        self._group_id = group_id

    def churned(self, event: CustomerChurned, cause: Cancellation) -> Outgoing:
        """Encode the event as a record; `cause` is the cancellation that led to it."""
        return Outgoing(
            id=churned_id(event.customer_id),
            topic=self._churned_topic,
            partition=None,
            key=None,
            value=encode_churned(event),
            headers=(),
            customer_id=event.customer_id,
            timestamp=cause.timestamp,
            encoded_headers=cause.event_headers,
            cause=(*cause.source.topic_partition, cause.offset),
        )

    def dead_letter(self, record: Record, rejected: Rejected) -> Outgoing:
        """Return the record as received, with error headers; those of an earlier dead letter are replaced."""
        return Outgoing(
            id=dead_letter_id(record.topic, record.partition, record.offset, record.timestamp),
            topic=record.topic + self._dead_letter_suffix,
            partition=record.partition,
            key=record.key,
            value=record.value,
            headers=dead_letter_headers(record, rejected, self._group_id),
            customer_id=rejected.customer_id,
            timestamp=record.timestamp,
        )
