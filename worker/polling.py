"""FastStream's loop and aiokafka beneath it, looked at from outside: does the loop turn, and does Kafka answer?"""

from __future__ import annotations

import time
from typing import Any

from aiokafka.errors import IllegalStateError

from worker.assignment import Assignment


class Polling:
    """Watches the polls of the consumer that `assignment` is about."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._turned = time.monotonic()

    def watch(self) -> None:
        """Notice every poll from now on: FastStream tells of none that brought nothing. The consumer has started."""
        consumer = self._assignment.consumer
        poll = consumer.getmany

        async def noticed(*args: Any, **kwargs: Any) -> Any:
            self._turned = time.monotonic()
            return await poll(*args, **kwargs)

        consumer.getmany = noticed

    @property
    def turned_seconds(self) -> float:
        """How long ago the loop asked for records."""
        return time.monotonic() - self._turned

    @property
    def answered_seconds(self) -> float:
        """How long ago Kafka answered a fetch, or gave out the partitions: with records or, twice a second, without."""
        since_set = time.monotonic() - self._assignment.set_at
        consumer = self._assignment.consumer
        try:
            answers = [consumer.last_poll_timestamp(place) for place in consumer.assignment()]
        except IllegalStateError:  # the partitions are being taken this moment
            return since_set
        answered_ms = max(filter(None, answers), default=0)
        return min(since_set, max(0.0, time.time() - answered_ms / 1000))

    @property
    def ended_task(self) -> str | None:
        """Which of aiokafka's own tasks has ended, if one has: nothing would be fetched, and nothing would say so."""
        consumer = self._assignment.consumer
        # There is no public way to ask; aiokafka's minor version is pinned.
        tasks = {"fetching": consumer._fetcher._fetch_task, "the group": consumer._coordinator._coordination_task}  # noqa: SLF001
        return next((name for name, task in tasks.items() if task is not None and task.done()), None)
