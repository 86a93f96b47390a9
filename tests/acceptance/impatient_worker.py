"""The worker's command line with short bounds, and faults of aiokafka that a file in the working directory brings on.

`hang`: the next poll never returns. `fetching-ends`: the task that fetches records ends, and nothing says so.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer

from worker.cli.main import main
from worker.monitoring import health, store_watch

LOOP_BOUND_SECONDS = 2.0

_getmany = AIOKafkaConsumer.getmany


async def _poll(consumer: AIOKafkaConsumer, *partitions: Any, **options: Any) -> Any:
    if _is_asked_for("hang"):
        await asyncio.Event().wait()
    if _is_asked_for("fetching-ends"):
        consumer._fetcher._fetch_task.cancel()
    return await _getmany(consumer, *partitions, **options)


def _is_asked_for(fault: str) -> bool:
    return Path(fault).exists()


if __name__ == "__main__":
    health.LOOP_BOUND_SECONDS = LOOP_BOUND_SECONDS
    store_watch.EVERY_SECONDS = 0.2
    AIOKafkaConsumer.getmany = _poll
    main()
