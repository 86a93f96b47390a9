"""Monitor of FastStream's poll loop and of aiokafka: time since the last poll and since Kafka's last answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from worker.consumer.assignment import Assignment
from worker.metrics.kafka_requests import KafkaRequests, Operation, failure_cause

log = structlog.get_logger(__name__)

UNAUTHORIZED_PAUSE_SECONDS = 1.0
POSITIONS_SECONDS = 0.2


class Polling:
    """Monitor of the polls of the consumer of `assignment`; `fail` is called with an error of the worker itself.

    `has_records` is True from the end of a poll that returned records until FastStream polls again. Before that they
    are not submitted, and never while the worker stops, but the consumer's positions are already after them.
    """

    def __init__(
        self, assignment: Assignment, fail: Callable[[Exception], None], requests: KafkaRequests | None = None
    ) -> None:
        self._requests = requests or KafkaRequests()
        self._assignment = assignment
        self._fail = fail
        self._turned = time.monotonic()
        self.has_records = False

    def watch(self, subscriber: Any) -> None:
        """Replace the polls of FastStream's loop, which does not report empty ones, and sleeps after each.

        Errors are handled here, too: FastStream would log each and continue.
        """

        async def poll(consumer: AIOKafkaConsumer) -> Any:
            self._turned = time.monotonic()
            self.has_records = False
            await self._wait_for_positions()
            try:
                found = await consumer.getmany(
                    timeout_ms=subscriber.batch_timeout_ms, max_records=subscriber.max_records
                )
                self.has_records = bool(found)
                return tuple(chain(*found.values()))
            except Exception as error:  # noqa: BLE001 - those that are FastStream's to handle are raised again
                return await self._handle(error)

        subscriber.get_msg = poll

    async def _handle(self, error: Exception) -> None:
        if isinstance(error, KafkaError) and not isinstance(error, NoOffsetForPartitionError):
            self._requests.failed(Operation.POLL, failure_cause(error))
        match error:
            case NoOffsetForPartitionError():  # the group has none: the assignment sets where reading starts
                return
            case OffsetOutOfRangeError():
                positions = ", ".join(
                    f"{each.topic}/{each.partition}/{offset}" for each, offset in error.args[0].items()
                )
                await self._assignment.compare_again(f"{positions} is outside of the log")
            case GroupAuthorizationFailedError() | TopicAuthorizationFailedError():
                # `InputWatch` has logged it; FastStream would log it with its traceback every 5 s.
                log.debug("poll not answered", error=type(error).__name__)
                await asyncio.sleep(UNAUTHORIZED_PAUSE_SECONDS)
            case CorruptRecordException() | UnsupportedCodecError():
                # aiokafka drops what the poll took from other partitions, and would read on after it.
                await self._assignment.compare_again("a record batch cannot be unpacked")
                raise error
            case KafkaError() | ConsumerStoppedError():
                raise error
            case _:  # for the same reason, any error in decoding stops the worker
                self._fail(error)
                await asyncio.Event().wait()  # until FastStream is stopped, too

    async def _wait_for_positions(self) -> None:
        """Wait until the positions are set, for a moment: polls keep the membership of the group.

        Each poll before would make aiokafka request the group's offsets, and report a partition that has none. While
        a poll waits for records, such a report keeps the partition from being fetched.
        """
        if not self._assignment.is_set.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._assignment.is_set.wait(), POSITIONS_SECONDS)

    @property
    def turned_seconds(self) -> float:
        """Seconds since the loop last polled."""
        return time.monotonic() - self._turned

    @property
    def answered_seconds(self) -> float:
        """Seconds since Kafka last answered a fetch (an empty answer comes twice a second) or assigned partitions."""
        since_set = time.monotonic() - self._assignment.set_at
        consumer = self._assignment.consumer
        if consumer is None:
            return since_set
        try:
            answers = [consumer.last_poll_timestamp(partition) for partition in consumer.assignment()]
        except IllegalStateError:  # the partitions are being taken this moment
            return since_set
        answered_ms = max(filter(None, answers), default=0)
        return min(since_set, max(0.0, time.time() - answered_ms / 1000))

    @property
    def ended_task(self) -> str | None:
        """The background task of aiokafka that has ended, None if all run; without it nothing is fetched."""
        consumer = self._assignment.consumer
        # There is no public call for it; aiokafka's minor version is pinned.
        if consumer is None or consumer._coordinator is None:  # noqa: SLF001 - the consumer is being started
            return None
        tasks = {"fetching": consumer._fetcher._fetch_task, "the group": consumer._coordinator._coordination_task}  # noqa: SLF001
        return next((name for name, task in tasks.items() if task is not None and task.done()), None)
