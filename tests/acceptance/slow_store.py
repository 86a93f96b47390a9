"""The worker's command line on a store whose first batch waits until so many records have come meanwhile."""

from __future__ import annotations

import os
import time
from typing import Any

from worker.cli.main import main
from worker.consumer.applier import Applier
from worker.consumer.prefetch import Prefetcher

RECORDS_MEANWHILE = "RECORDS_MEANWHILE"
LIMIT_S = 20.0
_apply = Applier._apply
_init = Prefetcher.__init__
_prefetchers: list[Prefetcher] = []
_batches = 0


def _init_and_keep(prefetcher: Prefetcher, *parts: Any) -> None:
    _prefetchers.append(prefetcher)
    _init(prefetcher, *parts)


def _apply_slowly(applier: Applier, *batch: object) -> object:
    global _batches  # noqa: PLW0603 - of one process
    _batches += 1
    deadline = time.monotonic() + LIMIT_S
    while _batches == 1 and _prefetchers[0].waiting < int(os.environ[RECORDS_MEANWHILE]):
        if time.monotonic() > deadline:
            break  # the test sees it in the batches
        time.sleep(0.001)
    return _apply(applier, *batch)  # type: ignore[arg-type]


if __name__ == "__main__":
    Prefetcher.__init__ = _init_and_keep  # type: ignore[assignment,method-assign]
    Applier._apply = _apply_slowly  # type: ignore[assignment,method-assign]
    main()
