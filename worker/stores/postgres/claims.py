"""The claims of one store on input partitions, compared with the rows of the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from worker.messages.record import TopicPartition
from worker.stores.errors import NotTheOwnerError, StoreBehindError

DRAWN_STEP = "1 + floor(random() * 2147483647)::bigint"
"""The step from one epoch to the next, in SQL.

It is drawn, so that two copies of a store (a former primary and the standby promoted in its place) never give two
workers the same epoch.
"""


class Claims:
    """The claimed partitions: the epoch of each claim, and the position that this store has committed."""

    def __init__(self) -> None:
        self._epochs: Mapping[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}

    def replace(self, epochs: Mapping[TopicPartition, int], positions: Mapping[TopicPartition, int]) -> None:
        """Take these claims instead, which begin at these positions."""
        self._epochs = dict(epochs)
        self._committed = {partition: positions.get(partition, 0) for partition in epochs}

    def committed(self, positions: Mapping[TopicPartition, int]) -> None:
        """Record that these positions were committed."""
        self._committed |= {partition: positions[partition] for partition in positions.keys() & self._epochs.keys()}

    def require_owned(self, epochs: Mapping[TopicPartition, int]) -> None:
        """Raise `NotTheOwnerError` if one of these partitions, with its epoch in the database, was taken over."""
        for partition, epoch in epochs.items():
            if self._epochs.get(partition, epoch) != epoch:
                raise NotTheOwnerError(f"{_name(partition)} is assigned to another worker now")

    def require_committed(
        self, positions: Mapping[TopicPartition, int], of: Collection[TopicPartition] | None = None
    ) -> None:
        """Raise `StoreBehindError` if a position in the database is before the committed one.

        A batch continues from the committed position: committed on the earlier one, it would skip the records between.
        """
        behind = {
            partition: (positions.get(partition, 0), committed)
            for partition, committed in sorted(self._committed.items())
            if (of is None or partition in of) and positions.get(partition, 0) < committed
        }
        if behind:
            shown = ", ".join(f"{_name(each)} is at {found} instead of {own}" for each, (found, own) in behind.items())
            records = sum(own - found for found, own in behind.values())
            raise StoreBehindError(
                f"the store has lost commits of this worker, {records} offsets: {shown}. A standby without the last "
                "commits was promoted, or an older copy was restored"
            )


def _name(partition: TopicPartition) -> str:
    return f"{partition[0]}/{partition[1]}"
