"""The worker's command line with a second's wait before it sets its positions: what aiokafka does meanwhile shows."""

from __future__ import annotations

import asyncio

from aiokafka import TopicPartition

from worker.cli.main import main
from worker.consumer.assignment import Assignment

_set_positions = Assignment._set_positions


async def _wait_then_seek(assignment: Assignment, assigned: set[TopicPartition], retry_seconds: float) -> None:
    await asyncio.sleep(1.0)
    await _set_positions(assignment, assigned, retry_seconds)


if __name__ == "__main__":
    Assignment._set_positions = _wait_then_seek  # type: ignore[assignment,method-assign]
    main()
