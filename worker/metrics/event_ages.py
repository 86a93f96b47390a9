"""Histogram of event ages: from the timestamp of the source record to the event being visible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prometheus_client.core import HistogramMetricFamily

from worker.messages.outgoing import Outgoing

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400, 604_800)


class EventAges:
    """Ages of the events on one topic."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._limits_ms = np.array([round(limit * 1000) for limit in SECONDS])
        self._counts = np.zeros(len(SECONDS) + 1, dtype=np.int64)
        self._sum_ms = 0

    def add(self, messages: Sequence[Outgoing], now: float) -> None:
        """Count the events whose source record has a timestamp; `now` is in seconds since 1970."""
        topic = self._topic
        caused = np.array([m.timestamp for m in messages if m.topic == topic and m.timestamp >= 0], dtype=np.int64)
        ages_ms = np.maximum(round(now * 1000) - caused, 0)  # clocks differ: an age is never negative
        self._counts += np.bincount(np.searchsorted(self._limits_ms, ages_ms), minlength=len(self._counts))
        self._sum_ms += int(ages_ms.sum())

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of events by age: one for each limit in `SECONDS`, and one for those older than all."""
        return tuple(self._counts.tolist())

    def family(self, name: str, documentation: str) -> HistogramMetricFamily:
        """Return the histogram in the type of the client library."""
        limits = [*(str(float(limit)) for limit in SECONDS), "+Inf"]
        counts = [float(count) for count in self._counts.cumsum()]
        return HistogramMetricFamily(
            name, documentation, buckets=list(zip(limits, counts, strict=True)), sum_value=self._sum_ms / 1000
        )
