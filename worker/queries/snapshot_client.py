"""Client of snapshots: a snapshot is written to a file, by this process or by the running worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO
from urllib.parse import urlencode

import msgspec

from worker.errors import Exit, Refusal
from worker.queries.client import locally_or_by_worker
from worker.queries.snapshot import SnapshotQuery, parts_of, reason_in, trailer
from worker.queries.worker_http import download
from worker.settings import Settings
from worker.stores.reading import StoreView


def take_snapshot(settings: Settings, query: SnapshotQuery, file: IO[bytes], received: Callable[[int], object]) -> None:
    """Write the result of a query to an empty file. `received` is called with its bytes so far.

    Raises `Refusal` if there is no store, if it cannot be read, or if its worker does not respond; `OSError` if the
    file cannot be written.
    """

    def by_worker() -> None:
        _empty(file)
        encoded = urlencode({"parameters": msgspec.json.encode(query).decode()})
        download(settings, f"/ask/snapshot?{encoded}", file, received)

    locally_or_by_worker(settings, lambda view: _write(view, query, file, received), by_worker)
    if reason := reason_in(file):
        raise Refusal(f"the running worker ended the answer early: {reason}. Retry later", Exit.UNREACHABLE)
    file.seek(0)


def _write(view: StoreView, query: SnapshotQuery, file: IO[bytes], received: Callable[[int], object]) -> None:
    _empty(file)
    for part in parts_of(view, query):
        file.write(part)
        received(file.tell())
    file.write(trailer())


def _empty(file: IO[bytes]) -> None:
    """Delete what an earlier attempt wrote."""
    file.seek(0)
    file.truncate()
