"""Sampler of the history: takes a point on a timer, apart from the batches."""

from __future__ import annotations

import asyncio
import time
from collections import deque

import structlog

from worker.metrics.counters import Metrics
from worker.monitoring.gauges import Gauges
from worker.monitoring.history import EVERY_SECONDS, Counters, History
from worker.processing.report import BatchReport

log = structlog.get_logger(__name__)

STORE_EVERY = 6
"""Points per reading of the store: so that something is known of it when it fails, whether or not anybody looks."""


class Sampler:
    """Sampler of one worker. `batches` has the reports of the batches since the last point, which takes them."""

    def __init__(self, metrics: Metrics, gauges: Gauges, batches: deque[BatchReport], history: History) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._batches = batches
        self._history = history

    async def run(self) -> None:
        """Sample until cancelled. An error does not stop the worker: the next point may succeed."""
        failed = False
        for number in range(2**62):
            try:
                self.sample(time.time())
                if number % STORE_EVERY == 0:
                    await self._gauges.read()
                failed = False
            except Exception as error:
                if not failed:
                    log.warning("history not sampled", exc_info=error)
                failed = True
            await asyncio.sleep(EVERY_SECONDS)

    def sample(self, at: float) -> None:
        """Add a point now."""
        durations = [report.seconds for report in self._batches]
        self._batches.clear()
        counters = Counters(self._metrics.records, self._metrics.event_ages.counts)
        self._history.add(at, counters, self._gauges.lag(), durations)
