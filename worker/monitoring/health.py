"""Health checks: liveness and readiness."""

from __future__ import annotations

import time
from datetime import datetime

from worker import __version__
from worker.consumer.applier import RETRY_FOR_SECONDS
from worker.consumer.subscriber import Consumer
from worker.monitoring.checks import Check
from worker.monitoring.store_watch import StoreWatch
from worker.monitoring.worker_report import CheckReport, WorkerReport
from worker.outbox.relay import Relay

BATCH_BOUND_SECONDS = RETRY_FOR_SECONDS + 60
LOOP_BOUND_SECONDS = 60.0
KAFKA_BOUND_SECONDS = 30.0
OUTBOX_BOUND_SECONDS = 15.0


class Health:
    """Health checks of a running worker. Idle is healthy; without a broker a worker is live, not ready."""

    def __init__(self, consumer: Consumer, relay: Relay, store_watch: StoreWatch) -> None:
        self._consumer = consumer
        self._relay = relay
        self._store_watch = store_watch

    def live(self) -> list[Check]:
        """Check for failures that a restart repairs."""
        return [self._loop(), self._aiokafka(), self._poll(), self._batch()]

    def ready(self) -> list[Check]:
        """Check the preconditions of progress."""
        return [
            *self.live(),
            self._partitions(),
            self._kafka(),
            self._inputs(),
            self._group(),
            self._store(),
            self._receipt(),
            self._outbox(),
        ]

    def report(self, started_at: datetime) -> WorkerReport:
        """Return the report of the worker."""
        checks = [CheckReport(c.name, c.is_well, c.found if c.is_well else c.advice) for c in self.ready()]
        return WorkerReport(__version__, started_at, checks, self._consumer.applier.last_batch)

    def _loop(self) -> Check:
        if not self._consumer.joining.is_over:
            return Check("consumer", is_well=True, found="joining the group")
        return Check("consumer", self._consumer.is_running(), "running", "the loop has ended. Restart the worker")

    def _aiokafka(self) -> Check:
        ended = self._consumer.polling.ended_task
        return Check("aiokafka", ended is None, "running", f"the task of {ended} has ended. Restart the worker")

    def _poll(self) -> Check:
        seconds = self._idle_for(self._consumer.polling.turned_seconds)
        found = f"last poll {seconds:.1f} s ago" if self._has_partitions else "no partitions to poll yet"
        return Check("poll", seconds < LOOP_BOUND_SECONDS, found, f"{found}. Restart the worker")

    def _batch(self) -> Check:
        began = self._consumer.applier.batch_began
        seconds = 0.0 if began is None else time.monotonic() - began
        found = "none in progress" if began is None else f"in progress for {seconds:.1f} s"
        return Check("batch", seconds < BATCH_BOUND_SECONDS, found, f"{found}: it hangs. See the log")

    def _partitions(self) -> Check:
        joining = self._consumer.joining
        waits_for = "the group to assign some" if joining.is_over else joining.reason
        return Check("partitions", self._has_partitions, "assigned", f"waiting: {waits_for}")

    def _kafka(self) -> Check:
        seconds = self._idle_for(self._consumer.polling.answered_seconds)
        found = f"last answer {seconds:.1f} s ago" if self._has_partitions else "no partitions to fetch yet"
        return Check("kafka", seconds < KAFKA_BOUND_SECONDS, found, f"{found}. Check that the brokers can be reached")

    def _inputs(self) -> Check:
        problems = {name: why for name, why in self._consumer.inputs.topic_problems.items() if why is not None}
        shown = "; ".join(f"{name}: {why}" for name, why in problems.items())
        return Check("inputs", not problems, "readable", f"{shown}. See `customer-worker check`")

    def _group(self) -> Check:
        problem = self._consumer.inputs.group_problem
        return Check("group", problem is None, "joined", f"{problem}. Partitions may not be read")

    def _store(self) -> Check:
        if (failure := self._consumer.applier.failure) is not None:
            return Check("store", is_well=False, found="", advice=f"the last batch failed: {failure}")
        failure = self._store_watch.failure
        return Check("store", failure is None, "writable", f"not writable: {failure}")

    def _receipt(self) -> Check:
        if self._relay.is_standby:
            return Check("receipt", is_well=True, found="standby: another worker is the leader")
        reason = self._relay.failure or "the output topics are being read"
        return Check("receipt", self._relay.recovered.is_set(), "read", f"recovering: {reason}")

    def _outbox(self) -> Check:
        if failure := self._relay.failure:
            return Check("outbox", is_well=False, found="", advice=f"publishing fails: {failure}")
        seconds = self._relay.behind_seconds
        found = f"behind for {seconds:.1f} s" if seconds else "everything is published"
        return Check("outbox", seconds < OUTBOX_BOUND_SECONDS, found, f"{found}. Nothing was published since")

    @property
    def _has_partitions(self) -> bool:
        return self._consumer.assignment.is_set.is_set()

    def _idle_for(self, seconds: float) -> float:
        """Return the idle time, which starts after an assignment and after a batch."""
        if not self._has_partitions or self._consumer.applier.batch_began is not None:
            return 0.0
        return min(seconds, time.monotonic() - self._consumer.applier.batch_ended)
