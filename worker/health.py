"""Is it alive, and is it ready: what a supervisor asks."""

from __future__ import annotations

import time

from worker.checks import Check
from worker.consumer import RETRY_FOR_SECONDS, Consumer
from worker.relay import Relay

BATCH_BOUND_SECONDS = RETRY_FOR_SECONDS + 60
OUTBOX_BOUND_SECONDS = 60.0


class Health:
    """Looks at the parts of a running worker. Waiting for records is progress; a broker that is away is not death."""

    def __init__(self, consumer: Consumer, relay: Relay) -> None:
        self._consumer = consumer
        self._relay = relay

    def live(self) -> list[Check]:
        """Whether a restart would help."""
        began = self._consumer.batch_began
        seconds = 0.0 if began is None else time.monotonic() - began
        return [
            Check("consumer", self._consumer.is_running(), "its loop runs", "the loop has ended: restart the worker"),
            Check("batch", seconds < BATCH_BOUND_SECONDS, f"in hand for {seconds:.1f} s", "it hangs: see the log"),
        ]

    def ready(self) -> list[Check]:
        """Whether the worker does its work now."""
        stuck = self._relay.behind_seconds
        return [
            *self.live(),
            Check("partitions", self._consumer.assignment.is_set.is_set(), "assigned", "waiting for the group"),
            Check("store", not self._consumer.is_failing, "takes batches", "the last batch failed: see the log"),
            Check("receipt", self._relay.recovered.is_set(), "read", "recovering: see the log"),
            Check("outbox", stuck < OUTBOX_BOUND_SECONDS, f"behind for {stuck:.1f} s", "publishing fails: see the log"),
        ]
