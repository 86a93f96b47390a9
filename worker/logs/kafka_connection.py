"""Log of the worker's connection to Kafka: one line when it is lost, one when it is restored."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer

from worker.logs.limits import LogLimits

log = structlog.get_logger(__name__)

LOST_AFTER_SECONDS = 2.0  # a broker that restarts at once is no event
LIBRARIES = ("aiokafka", "faststream")


class KafkaConnection:
    """State of the connection between a consumer and the brokers."""

    def __init__(self, limits: LogLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._down_since: float | None = None
        self._is_lost = False

    def look(self, consumer: AIOKafkaConsumer | None) -> None:
        """Log a change."""
        if consumer is not None:  # else it is being created, or was closed
            self.note(is_connected=_is_connected(consumer))

    def note(self, *, is_connected: bool) -> None:
        """Log a change that lasts."""
        now = self._clock()
        if not is_connected:
            self._down_since = self._down_since or now
            if not self._is_lost and now - self._down_since >= LOST_AFTER_SECONDS:
                self._is_lost = True
                log.error("Kafka connection lost", retrying="until a broker can be reached")
        elif self._down_since is not None:
            if self._is_lost:
                seconds = round(now - self._down_since, 1)
                suppressed = self._limits.start_anew(*LIBRARIES)
                log.info("Kafka connection restored", after_seconds=seconds, suppressed=suppressed)
            self._down_since, self._is_lost = None, False


def _is_connected(consumer: AIOKafkaConsumer) -> bool:
    # There is no public call for it; aiokafka's minor version is pinned.
    return any(connection.connected() for connection in consumer._client._conns.values())  # noqa: SLF001
