"""The worker's command line on a store whose first batch waits until so many records have come meanwhile."""

from __future__ import annotations

import os
import time

from worker.cli.main import main
from worker.consumer.subscriber import Consumer

RECORDS_MEANWHILE = "RECORDS_MEANWHILE"
LIMIT_S = 20.0
_apply = Consumer._apply
_batches = 0


def _apply_slowly(consumer: Consumer, *batch: object) -> object:
    global _batches  # noqa: PLW0603 - of one process
    _batches += 1
    deadline = time.monotonic() + LIMIT_S
    while _batches == 1 and consumer._prefetcher.waiting < int(os.environ[RECORDS_MEANWHILE]):
        if time.monotonic() > deadline:
            break  # the test sees it in the batches
        time.sleep(0.001)
    return _apply(consumer, *batch)  # type: ignore[arg-type]


if __name__ == "__main__":
    Consumer._apply = _apply_slowly  # type: ignore[assignment,method-assign]
    main()
