"""Failures to publish: counted in a row, shown, logged, and followed by a pause that grows."""

from __future__ import annotations

import random

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, RequestTimedOutError

from worker.errors import Refusal
from worker.metrics.counters import Cause, Metrics
from worker.metrics.kafka_requests import FailureCause, Operation, failure_cause
from worker.outbox.publish_errors import CannotPublish, Kind, in_words, kind_of, pause_seconds
from worker.outbox.receipts import ReceiptUnreadable
from worker.settings import Kafka
from worker.stores.errors import StoreError

log = structlog.get_logger(__name__)

RECOVERABLE = (KafkaError, OSError, TimeoutError, StoreError, ReceiptUnreadable, Refusal, CannotPublish)
"""Errors after which recovery may succeed."""

_CAUSES = {
    Kind.FENCED: Cause.FENCED,
    Kind.EXPIRED: Cause.EXPIRED,
    Kind.AUTHORIZATION: Cause.AUTHORIZATION,
    Kind.CONFIGURATION: Cause.CONFIGURATION,
}


class Failures:
    """The failures of one relay since it last succeeded; `shown` is the last one in words, None after a success."""

    def __init__(self, settings: Kafka, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._in_a_row = 0
        self.shown: str | None = None

    def restart_count(self) -> None:
        """Begin with the shortest pause again."""
        self._in_a_row = 0

    def clear(self) -> None:
        """Note a success."""
        self._in_a_row = 0
        self._show(None)

    def add(self, error: Exception) -> float:
        """Log and show the failure; returns the seconds to wait before the next attempt.

        An expired id after a quiet time costs a new producer only: it is not shown.
        """
        self._in_a_row += 1
        kind, words = kind_of(error), in_words(error, self._settings)
        if kind is Kind.EXPIRED and self._in_a_row == 1:
            log.info("producer renewed", reason=words)
            return 0.0
        if not isinstance(error, StoreError):
            cause = FailureCause.AUTHORIZATION if kind is Kind.AUTHORIZATION else failure_cause(error)
            self._metrics.kafka.failed(Operation.PUBLISH, cause)
        self._show(words)
        pause = pause_seconds(self._in_a_row, kind) * random.uniform(0.5, 1.0)  # noqa: S311
        log.warning(
            "publishing failed, recovering",
            error=words,
            kind=str(kind),
            failures=self._in_a_row,
            pause_s=round(pause, 1),
        )
        return pause

    def _show(self, words: str | None) -> None:
        self.shown = words
        self._metrics.is_publishing_failing = words is not None


def cause_of(error: Exception) -> Cause:
    """Return the cause under which the recovery after a failure is counted."""
    match error:
        case TimeoutError() | KafkaTimeoutError() | RequestTimedOutError():
            return Cause.TIMEOUT
        case OSError() | KafkaConnectionError() | Refusal():
            return Cause.UNREACHABLE
        case StoreError():
            return Cause.STORE
        case ReceiptUnreadable():
            return Cause.RECEIPT
        case _:
            return _CAUSES.get(kind_of(error), Cause.KAFKA)
