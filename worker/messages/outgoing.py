"""A record to be published: a `customer.churned` event or a dead letter."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from worker.messages.record import Header


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to be published once: an event, or a dead letter with key, value and headers byte for byte.

    An event has no `partition` and no `key`: both follow from its customer id. It has `encoded_headers`, those taken
    from its source record; an event stored by an earlier version has them in `headers`. `EventBatch` adds the others.
    `timestamp` is that of the source record in milliseconds since 1970; -1 if it has none. `cause` has
    topic, partition and offset of the cancellation that led to an event; the store keeps it, and does not return it.
    """

    id: str
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    customer_id: str | None
    timestamp: int = -1
    encoded_headers: bytes | None = None
    cause: tuple[str, int, int] | None = None
