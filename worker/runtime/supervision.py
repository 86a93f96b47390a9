"""Supervision of a running worker: a task that ends unexpectedly stops the worker."""

from __future__ import annotations

import asyncio

import structlog

from worker.consumer.subscriber import Consumer
from worker.errors import Stop, internal_error
from worker.logs.kafka_connection import KafkaConnection
from worker.logs.limits import LIMITS
from worker.runtime.tasks import BackgroundTasks

log = structlog.get_logger(__name__)

CHECK_EVERY_SECONDS = 1.0


async def supervise(consumer: Consumer, tasks: BackgroundTasks, stop: Stop) -> None:
    """Stop the worker for safety once its consumer, a task of aiokafka or a background task has ended."""
    connection = KafkaConnection(LIMITS)
    while True:
        await asyncio.sleep(CHECK_EVERY_SECONDS)
        connection.look(consumer.assignment.consumer)
        if (problem := _problem(consumer, tasks)) is not None:
            stop.fail_stop(problem)
            return


def _problem(consumer: Consumer, tasks: BackgroundTasks) -> str | None:
    if not consumer.is_running():
        return (
            "the consumer's loop has ended unexpectedly. Restart the worker; if it recurs, open an issue with this log"
        )
    if ended := consumer.polling.ended_task:
        return f"aiokafka's task of {ended} has ended. Restart the worker; if it recurs, open an issue with this log"
    for name, error in tasks.failures():
        log.error("background task failed", task=name, exc_info=error)
        return internal_error(error)
    return None
