"""The worker's command line with a second's wait before it sets its positions: what aiokafka does meanwhile shows."""

from __future__ import annotations

import asyncio

from aiokafka import TopicPartition

from worker.cli.main import main
from worker.consumer.assignment import Assignment

_seek = Assignment._seek


async def _wait_then_seek(assignment: Assignment, assigned: set[TopicPartition], look_for_seconds: float) -> None:
    await asyncio.sleep(1.0)
    await _seek(assignment, assigned, look_for_seconds)


if __name__ == "__main__":
    Assignment._seek = _wait_then_seek  # type: ignore[assignment,method-assign]
    main()
