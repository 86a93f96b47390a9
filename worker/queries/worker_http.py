"""HTTP client of the running worker: by its command socket, or by its port with the token."""

from __future__ import annotations

import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TypeVar

import msgspec
from typing_extensions import override

from worker.addresses import shown_address
from worker.bootstrap import backend, store_identity
from worker.errors import Exit, Refusal
from worker.monitoring.worker_report import STORE_HEADER
from worker.settings import Settings
from worker.socket_paths import address_of

TIMEOUT_SECONDS = 30.0
"""Longer than the worker's own time limit for a query."""
_OK = 200
_REFUSED = {401, 403, 503}
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address of a worker that listens on every address

T = TypeVar("T")


class NoResponse(Refusal):
    """The store is in use, and no worker responds: it may be about to listen, or have just stopped."""


class _SocketConnection(HTTPConnection):
    """A connection to the Unix socket at `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with address_of(self._path) as address:
            self.sock.connect(address)


def get(settings: Settings, path: str, kind: type[T]) -> T:
    """Return the running worker's response. Raises `Refusal`, and `NoResponse` if nothing listens."""
    connection, shown = _connection(settings)
    token = settings.http.token
    by_port = not isinstance(connection, _SocketConnection)
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None and by_port else {}
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, HTTPException) as error:
        detail = getattr(error, "strerror", None) or error
        raise NoResponse(
            f"{_in_use(settings)}nothing responds at {shown}: {detail}. If a worker is starting, retry later. "
            f"{_advice(by_port=by_port)}",
            Exit.UNREACHABLE,
        ) from error
    finally:
        connection.close()
    if response.getheader(STORE_HEADER) != store_identity(settings):
        remedy = _remedy(by_port=by_port)
        raise _unreachable(settings, f"the process at {shown} is not the worker of this store. {remedy}")
    return _decoded(shown, response.status, content, kind)


def _advice(*, by_port: bool) -> str:
    if by_port:
        return "Else set CUSTOMER_WORKER_HTTP__HOST and _PORT to those of the running worker"
    return (
        "Else another command or program has the store open: end it. A worker whose log has 'command socket not "
        "available' answers on its port: set CUSTOMER_WORKER_HTTP__TOKEN for it and for this command"
    )


def _remedy(*, by_port: bool) -> str:
    if by_port:
        return "Set CUSTOMER_WORKER_HTTP__HOST and _PORT to those of its worker"
    return "The file was replaced while its worker ran: restart that worker"


def _decoded(url: str, status: int, content: bytes, kind: type[T]) -> T:
    why = content.decode(errors="replace").strip()
    if status in _REFUSED:
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


def _connection(settings: Settings) -> tuple[HTTPConnection, str]:
    """Return a connection to the worker, not yet open, and its address. Raises `Refusal` if the settings have none.

    The token is sent only where no socket can be used: the port may belong to another process.
    """
    http, command_socket = settings.http, backend(settings.store).command_socket
    if not http.enabled:
        raise _unreachable(
            settings,
            "CUSTOMER_WORKER_HTTP__ENABLED is false: its worker serves no queries. Set it to true and restart the "
            "worker, or stop the worker: then the store is read from its file",
        )
    if command_socket is not None and (command_socket.exists() or http.token is None):
        return _SocketConnection(command_socket), str(command_socket)
    if http.port == 0:
        raise _unreachable(
            settings,
            "its worker has chosen a free port (CUSTOMER_WORKER_HTTP__PORT is 0). Set CUSTOMER_WORKER_HTTP__PORT for "
            "this command to the port in the line 'serving' of the worker's log",
        )
    host = _LOOPBACK.get(http.host, http.host)
    return HTTPConnection(host, http.port, timeout=TIMEOUT_SECONDS), f"http://{shown_address(host, http.port)}"


def _unreachable(settings: Settings, why: str) -> Refusal:
    return Refusal(_in_use(settings) + why, Exit.UNREACHABLE)


def _in_use(settings: Settings) -> str:
    return f"the store {settings.store.shown} is in use by another process, and "
