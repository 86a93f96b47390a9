"""Position and log end of one input partition, as last known; kept while Kafka does not answer."""

from __future__ import annotations

from collections import deque

ENDS_KEPT = 1_000


class Progress:
    """The position and the end of one partition. All times are of one monotonic clock, in seconds."""

    def __init__(self, now: float) -> None:
        self.position: int | None = None
        self.end: int | None = None
        self.end_known_at = now
        self.unassigned_since: float | None = None
        self._readable_at = now
        self._moved_at = now
        self._ends: deque[tuple[float, int]] = deque()  # ends beyond the position, and when each was first seen

    def read_to(self, position: int, now: float) -> None:
        """Record the next offset to read."""
        if position != self.position:
            if self.end is not None and not self._ends and position < self.end:  # it went back
                self._ends.append((now, self.end))
            self.position = position
            self._moved_at = now
        while self._ends and self._ends[0][1] <= position:
            self._ends.popleft()

    def ends_at(self, end: int, now: float) -> None:
        """Record the offset after the log's last record."""
        self.end_known_at = now
        if end == self.end:
            return
        if self.end is not None and end < self.end:
            self._ends = deque(each for each in self._ends if each[1] <= end)
        if end > (self.position or 0):
            self._ends.append((now, end))
        if len(self._ends) > ENDS_KEPT:
            self._ends = deque(list(self._ends)[::2])  # the oldest stays
        self.end = end

    def is_readable(self, now: float) -> None:
        """Record that the partition is readable now."""
        self._readable_at = now

    def lag(self, stored: int = 0) -> int:
        """Return the number of unread offsets; `stored` is the position if this worker never had the partition."""
        if self.end is None:
            return 0
        return max(0, self.end - (stored if self.position is None else self.position))

    def behind_seconds(self, now: float) -> float:
        """Return the seconds since the oldest unread offset was seen, or since the partition was last readable."""
        since = min(self._readable_at, self._ends[0][0]) if self._ends else self._readable_at
        return max(0.0, now - since)

    def standing_seconds(self, now: float) -> float:
        """Return for how many seconds the position has not moved while the log grew; 0 if everything is read."""
        return max(0.0, now - max(self._moved_at, self._ends[0][0])) if self._ends else 0.0
