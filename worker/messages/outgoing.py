"""A record to be published: a `customer.churned` event or a dead letter."""

from __future__ import annotations

import msgspec

from worker.messages.record import Header


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to be published once: an event, or a dead letter with key, value and headers byte for byte.

    An event has no `partition` and no `key`: both follow from its customer id. Its `headers` are those taken from its
    source record; `Envelope` adds the others when it is sent. `timestamp` is that of the source record in
    milliseconds since 1970; -1 if it has none. `cause` has topic, partition and offset of the
    cancellation that led to an event; the store keeps it, and does not return it.
    """

    id: str
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    customer_id: str | None
    timestamp: int = -1
    cause: tuple[str, int, int] | None = None
