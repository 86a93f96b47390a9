"""HTTP client of the running worker."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import TypeVar

import msgspec

from worker.addresses import shown_address
from worker.bootstrap import store_identity
from worker.errors import Exit, Refusal
from worker.monitoring.worker_report import STORE_HEADER
from worker.settings import Settings

TIMEOUT_SECONDS = 30.0
"""Longer than the worker's own time limit for a query."""
_OK, _FORBIDDEN, _UNAVAILABLE = 200, 403, 503
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address of a worker that listens on every address

T = TypeVar("T")


class NoResponse(Refusal):
    """The store is in use, and no worker responds: it may be about to listen, or have just stopped."""


def get(settings: Settings, path: str, kind: type[T]) -> T:
    """Return the running worker's response. Raises `Refusal`, and `NoResponse` if nothing listens."""
    host, port = _address(settings)
    url = f"http://{shown_address(host, port)}"
    connection = HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        content = response.read()
    except (OSError, HTTPException) as error:
        detail = getattr(error, "strerror", None) or error
        raise NoResponse(
            f"{_in_use(settings)}nothing responds at {url}: {detail}. If a worker is starting, retry later; else set "
            "CUSTOMER_WORKER_HTTP__HOST and _PORT to those of the running worker",
            Exit.UNREACHABLE,
        ) from error
    finally:
        connection.close()
    if response.getheader(STORE_HEADER) != store_identity(settings):
        raise _unreachable(
            settings,
            f"the process at {url} is not the worker of this store. Set CUSTOMER_WORKER_HTTP__HOST and _PORT to those "
            "of its worker",
        )
    return _decoded(url, response.status, content, kind)


def _decoded(url: str, status: int, content: bytes, kind: type[T]) -> T:
    why = content.decode(errors="replace").strip()
    if status in {_FORBIDDEN, _UNAVAILABLE}:
        raise Refusal(f"the worker at {url}: {why}", Exit.UNREACHABLE)
    if status == _OK:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            why = str(error)
    raise Refusal(
        f"the worker at {url} does not support this command: {why}. Use the command of the worker's version",
        Exit.UNREACHABLE,
    )


def _address(settings: Settings) -> tuple[str, int]:
    """Return the worker's address. Raises `Refusal` if the settings have none."""
    http = settings.http
    if not http.enabled:
        raise _unreachable(
            settings,
            "CUSTOMER_WORKER_HTTP__ENABLED is false: its worker serves no queries. Set it to true and restart the "
            "worker, or stop the worker: then the store is read from its file",
        )
    if http.port == 0:
        raise _unreachable(
            settings,
            "its worker has chosen a free port (CUSTOMER_WORKER_HTTP__PORT is 0). Set CUSTOMER_WORKER_HTTP__PORT for "
            "this command to the port in the line 'serving' of the worker's log",
        )
    return _LOOPBACK.get(http.host, http.host), http.port


def _unreachable(settings: Settings, why: str) -> Refusal:
    return Refusal(_in_use(settings) + why, Exit.UNREACHABLE)


def _in_use(settings: Settings) -> str:
    return f"the store {settings.store.shown} is in use by another process, and "
