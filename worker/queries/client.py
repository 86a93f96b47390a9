"""Questions about the store, asked of whoever has it: this process opens it itself, unless a worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import TypeVar
from urllib.parse import urlencode

import msgspec
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from worker.addresses import shown_address
from worker.bootstrap import backend, open_view, store_identity
from worker.errors import Exit, Refusal
from worker.monitoring.worker_report import STORE_HEADER, WorkerReport
from worker.queries.query import A, P, Question
from worker.settings import Settings
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError
from worker.stores.reading import StoreView

WAIT_SECONDS = 30.0
"""For an answer; the worker itself gives up before."""
PATIENCE_SECONDS = 5.0
"""With a store that is in use and for which nobody answers: a worker opens a small one in two."""
PAUSE_SECONDS = 0.2
_OK, _FORBIDDEN, _UNAVAILABLE = 200, 403, 503
_THIS_MACHINE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a worker listens that listens everywhere

T = TypeVar("T")


async def ask(settings: Settings, question: Question[P, A], parameters: P) -> A:
    """The answer from the store, or from the worker that has it.

    Raises `Refusal` where there is no store, where it cannot be read, or where its worker cannot be asked.
    """
    return await asyncio.to_thread(_ask, settings, question, parameters)


async def ask_with_worker(settings: Settings, question: Question[P, A], parameters: P) -> tuple[A, WorkerReport | None]:
    """The answer as by `ask`; and what the worker says of itself, where it was the worker that answered."""
    return await asyncio.to_thread(_ask_with_worker, settings, question, parameters)


async def ask_worker(settings: Settings) -> WorkerReport | None:
    """What the running worker says of itself; None where none has the store. Raises `Refusal` as `ask` does.

    Of the many that can share PostgreSQL it is the one on this machine at the settings' port, None where none answers.
    """
    return await asyncio.to_thread(_ask_worker, settings)


class _NobodyAnswers(Refusal):
    """The store is in use, and nobody answers for it: its worker may be about to, or have stopped just now."""


def _ask(settings: Settings, question: Question[P, A], parameters: P) -> A:
    def by_worker() -> A:
        query = urlencode({"parameters": msgspec.json.encode(parameters).decode()})
        return _get(settings, f"/ask/{question.name}?{query}", question.answer)

    return _here_or_there(settings, lambda view: question.find(view, settings, parameters), by_worker)


def _ask_with_worker(settings: Settings, question: Question[P, A], parameters: P) -> tuple[A, WorkerReport | None]:
    answer = _ask(settings, question, parameters)
    return answer, _ask_worker(settings)


def _ask_worker(settings: Settings) -> WorkerReport | None:
    if backend(settings.store).is_shared:
        with suppress(Refusal):
            return _get(settings, "/ask/worker", WorkerReport)
        return None

    def in_nobodys_hands(_: StoreView) -> WorkerReport | None:
        return None

    return _here_or_there(settings, in_nobodys_hands, lambda: _get(settings, "/ask/worker", WorkerReport))


@retry(
    retry=retry_if_exception_type(_NobodyAnswers),
    wait=wait_fixed(PAUSE_SECONDS),
    stop=stop_after_delay(PATIENCE_SECONDS),
    reraise=True,
)
def _here_or_there(settings: Settings, here: Callable[[StoreView], T], there: Callable[[], T]) -> T:
    """What this process finds in the store; or what the process says that has it, once it has started or stopped."""
    try:
        return _look_up(settings, here)
    except StoreInUseError:
        return there()


def _look_up(settings: Settings, find: Callable[[StoreView], T]) -> T:
    """Raises `StoreInUseError` where another process has the store, and `Refusal` where it cannot be read."""
    try:
        with open_view(settings) as view:
            return find(view)
    except StoreInUseError:
        raise
    except StoreError as error:
        advice = ""
        if isinstance(error, NoStoreError):
            advice = ": no worker has run here yet, or CUSTOMER_WORKER_STORE__URL names another one"
        raise Refusal(f"{error}{advice}", Exit.UNREACHABLE) from error


def _get(settings: Settings, path: str, kind: type[T]) -> T:
    """What the running worker answers. Raises `Refusal`."""
    who = _address(settings)
    connection = HTTPConnection(*who, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, HTTPException) as error:
        detail = getattr(error, "strerror", None) or error
        why = (
            f"nobody answers at {_shown(who)} ({detail}). If a worker is starting, wait for it; else see that "
            "CUSTOMER_WORKER_HTTP__HOST and _PORT are the running worker's"
        )
        raise _NobodyAnswers(_in_use(settings) + why, Exit.UNREACHABLE) from error
    finally:
        connection.close()
    if answer.getheader(STORE_HEADER) != store_identity(settings):
        raise _unreachable(
            settings,
            f"what answers at {_shown(who)} is not the worker that has it. Set CUSTOMER_WORKER_HTTP__HOST and _PORT "
            "to that one's",
        )
    if answer.status in {_FORBIDDEN, _UNAVAILABLE}:
        raise Refusal(f"the worker at {_shown(who)}: {content.decode(errors='replace').strip()}", Exit.UNREACHABLE)
    try:
        if answer.status == _OK:
            return msgspec.json.decode(content, type=kind)
        why = content.decode(errors="replace").strip()
    except msgspec.DecodeError as error:
        why = str(error)
    raise Refusal(
        f"the worker at {_shown(who)} does not understand this command ({why}). Use the command of the worker's own "
        "version",
        Exit.UNREACHABLE,
    )


def _address(settings: Settings) -> tuple[str, int]:
    """Where the worker serves. Raises `Refusal` where the settings do not say."""
    http = settings.http
    if not http.enabled:
        raise _unreachable(
            settings,
            "CUSTOMER_WORKER_HTTP__ENABLED is false, so its worker cannot be asked. Set it to true and start the "
            "worker again; or stop the worker, and the store is read from its file",
        )
    if http.port == 0:
        raise _unreachable(
            settings,
            "its worker serves on a port of its own choice (CUSTOMER_WORKER_HTTP__PORT is 0). Give this command the "
            "port in CUSTOMER_WORKER_HTTP__PORT: the worker's log has it in the line 'serving'",
        )
    return _THIS_MACHINE.get(http.host, http.host), http.port


def _shown(address: tuple[str, int]) -> str:
    return f"http://{shown_address(*address)}"


def _unreachable(settings: Settings, why: str) -> Refusal:
    return Refusal(_in_use(settings) + why, Exit.UNREACHABLE)


def _in_use(settings: Settings) -> str:
    return f"the store {settings.store.shown} is in use by another process, and "
