"""Tombstones on `customer.churned`: records without a value, by which an operator erases customers' events.

Compaction removes records before a tombstone with the same key, byte for byte, in the same partition. A customer
churns once, so the tombstone of a key is also the receipt of the customer's only event: it is not published again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from worker.messages.uuid_fast_path import is_canonical_uuid
from worker.stores.churns import Churn


class EventOffset(NamedTuple):
    """Partition and offset of an event."""

    partition: int
    offset: int


class IneffectiveTombstone(msgspec.Struct, frozen=True):
    """A tombstone before its customer's event, or in another partition: compaction does not remove the event."""

    customer_id: str
    tombstone: str
    event: str


@dataclass(frozen=True)
class Erasures:
    """Effect of the tombstones on a topic.

    `customers` are those whose event is erased, `events` the erased ones that compaction has not removed yet.
    """

    customers: AbstractSet[str] = frozenset()
    events: Mapping[EventOffset, Churn] = field(default_factory=dict)
    ineffective: list[IneffectiveTombstone] = field(default_factory=list)


def erased_customer(key: bytes | None) -> str | None:
    """Return the customer whose event a tombstone with this key erases; None if it is no key of an event."""
    text = (key or b"").decode("ascii", "replace")
    return text if is_canonical_uuid(text) else None


def erasures(
    topic: str, tombstones: Mapping[str, Mapping[int, int]], events: Iterable[tuple[EventOffset, Churn]]
) -> Erasures:
    """Compare each customer's last tombstone, by partition, with the events of these customers."""
    erased: dict[EventOffset, Churn] = {}
    left: dict[str, EventOffset] = {}
    for at, churn in events:
        if at.offset < tombstones[churn.customer_id].get(at.partition, -1):
            erased[at] = churn
        else:
            left[churn.customer_id] = at
    ineffective = [
        IneffectiveTombstone(who, _name(topic, *last), _name(topic, *at))
        for who, at in left.items()
        for last in tombstones[who].items()
    ]
    return Erasures(tombstones.keys() - left.keys(), erased, ineffective)


def _name(topic: str, partition: int, offset: int) -> str:
    return f"{topic}/{partition}/{offset}"
