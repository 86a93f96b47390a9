"""Client of the store: a query runs in this process, or in the running worker if that has the store open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from urllib.parse import urlencode

import msgspec
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from worker.bootstrap import backend
from worker.errors import Refusal
from worker.monitoring.worker_report import REPORT_PATH, WorkerReport
from worker.queries.local import read_store
from worker.queries.query import A, P, Query
from worker.queries.worker_http import NoResponse, get
from worker.settings import Settings
from worker.stores.errors import StoreInUseError
from worker.stores.reading import StoreView

RETRY_FOR_SECONDS = 5.0
"""Time for a process that has the store open to listen or to stop; a worker opens a small store in two seconds."""
RETRY_PAUSE_SECONDS = 0.2

T = TypeVar("T")


async def run_query(settings: Settings, query: Query[P, A], parameters: P) -> A:
    """Run a query on the store, or in the worker that has it.

    Raises `Refusal` if there is no store, if it cannot be read, or if its worker does not respond.
    """
    return await asyncio.to_thread(_run_query, settings, query, parameters)


async def run_query_and_report(settings: Settings, query: Query[P, A], parameters: P) -> tuple[A, WorkerReport | None]:
    """Run a query as `run_query` does. Returns its result, and the report as `fetch_worker_report` does."""
    return await asyncio.to_thread(lambda: (_run_query(settings, query, parameters), _fetch_worker_report(settings)))


async def fetch_worker_report(settings: Settings) -> WorkerReport | None:
    """Return the report of the running worker, None if no worker has the store. Raises `Refusal` as `run_query` does.

    With PostgreSQL, that is the worker on this machine at the port of the settings, None if none responds there.
    """
    return await asyncio.to_thread(_fetch_worker_report, settings)


def _run_query(settings: Settings, query: Query[P, A], parameters: P) -> A:
    def by_worker() -> A:
        encoded = urlencode({"parameters": msgspec.json.encode(parameters).decode()})
        return get(settings, f"/ask/{query.name}?{encoded}", query.result)

    return locally_or_by_worker(settings, lambda view: query.run(view, settings, parameters), by_worker)


def _fetch_worker_report(settings: Settings) -> WorkerReport | None:
    if backend(settings.store).is_shared:
        with suppress(Refusal):
            return get(settings, REPORT_PATH, WorkerReport)
        return None

    def no_worker(_: StoreView) -> WorkerReport | None:
        return None

    return locally_or_by_worker(settings, no_worker, lambda: get(settings, REPORT_PATH, WorkerReport))


@retry(
    retry=retry_if_exception_type(NoResponse),
    wait=wait_fixed(RETRY_PAUSE_SECONDS),
    stop=stop_after_delay(RETRY_FOR_SECONDS),
    reraise=True,
)
def locally_or_by_worker(settings: Settings, locally: Callable[[StoreView], T], by_worker: Callable[[], T]) -> T:
    """Read the store in this process, or by the worker if the store is in use. Retried while neither is possible."""
    try:
        return read_store(settings, locally)
    except StoreInUseError:
        return by_worker()
