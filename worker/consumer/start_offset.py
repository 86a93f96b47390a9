"""Start offsets of partitions: the store is authoritative, the group's offset is a mirror or an instruction."""

from __future__ import annotations

from dataclasses import dataclass

from worker.errors import PositionRefused

MIRROR = "customer-worker"
"""The metadata of a committed offset that mirrors the store; one with any other metadata was set by an operator."""


@dataclass(frozen=True, slots=True)
class Partition:
    """State of an input partition when it is assigned.

    `stored`: the store's next offset, None if the store has no position. `committed`: the group's offset, None if
    there is none or it could not be read; `is_mirror`: whether the worker itself set it. `begin` and `end`: the log's
    first offset and the one after its last. `difference`: the difference from the log that `stored` belongs to, None
    if none was found.
    """

    name: str
    stored: int | None
    committed: int | None
    is_mirror: bool
    begin: int
    end: int
    difference: str | None = None

    @property
    def is_another_log(self) -> bool:
        """Whether `stored` is an offset of another log."""
        return self.stored is not None and (self.stored > self.end or self.difference is not None)


def starting_offset(partition: Partition, *, allow_skip_forward: bool, allow_lost_records: bool) -> int:
    """Return the offset to read from.

    A partition without a position starts at the log's beginning, so that a lost store rebuilds itself. Another one
    starts at its position, or at an earlier offset that an operator set in the group: records read again have no
    second effect. Raises `PositionRefused` if records would be skipped, unless the setting allows it.
    """
    p = partition
    if p.stored is None:
        return p.begin
    if p.difference is not None and not allow_lost_records:
        raise PositionRefused(
            f"{p.name} is not the log that the store has read up to offset {p.stored}: {p.difference}. Its records "
            f"before offset {p.stored} may never have been read. Restore the topic, or name a new one; to read this "
            "one from its beginning, set CUSTOMER_WORKER_SAFETY__ALLOW_LOST_RECORDS=true"
        )
    if p.stored > p.end and not allow_lost_records:
        raise PositionRefused(
            f"{p.name} ends at offset {p.end}, but the store has read it up to {p.stored}: the topic was recreated or "
            "truncated. Restore the topic, or name a new one; to read this one from its beginning, set "
            "CUSTOMER_WORKER_SAFETY__ALLOW_LOST_RECORDS=true"
        )
    if p.is_another_log and allow_lost_records:
        return p.begin
    if p.begin > p.stored and not allow_lost_records:
        raise PositionRefused(
            f"{p.name} begins at offset {p.begin}, but the store has read it up to {p.stored} only: the "
            f"{p.begin - p.stored} records between were deleted before they were read. Restore them, or continue "
            "without them by setting CUSTOMER_WORKER_SAFETY__ALLOW_LOST_RECORDS=true"
        )
    instructed = p.stored if p.committed is None or p.is_mirror else p.committed
    if instructed > p.stored and not allow_skip_forward:
        raise PositionRefused(
            f"the group's offset of {p.name} was set to {instructed}, past the store's {p.stored}: the "
            f"{instructed - p.stored} records between would be skipped. Reset the group's offset to {p.stored} or "
            "before, or skip them by setting CUSTOMER_WORKER_SAFETY__ALLOW_SKIP_FORWARD=true"
        )
    return max(instructed, p.begin)
