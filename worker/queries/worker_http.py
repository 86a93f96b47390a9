"""HTTP client of the running worker: by its command socket, or by its port with the token."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, TypeVar

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
PART_BYTES = 1024 * 1024
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
    with closing(_Request(settings, path)) as request:
        content = request.read()
        request.require_success(content)
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise request.not_supported(str(error)) from error


def download(settings: Settings, path: str, file: IO[bytes], received: Callable[[int], object]) -> None:
    """Write the running worker's response to a file; `received` is called with its bytes so far.

    Raises as `get` does.
    """
    with closing(_Request(settings, path)) as request:
        if request.status != _OK:
            request.require_success(request.read())
        while part := request.read(PART_BYTES):
            file.write(part)
            received(file.tell())


class _Request:
    """A request to the running worker, whose response has begun. Raises `NoResponse` if there is none."""

    def __init__(self, settings: Settings, path: str) -> None:
        self._settings = settings
        self._connection, self._shown = _connection(settings)
        token = settings.http.token
        self._by_port = not isinstance(self._connection, _SocketConnection)
        has_token = token is not None and self._by_port
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None and has_token else {}
        try:
            self._connection.request("GET", path, headers=headers)
            self._response = self._connection.getresponse()
        except (OSError, HTTPException) as error:
            self.close()
            raise self._no_response(error) from error
        if self._response.getheader(STORE_HEADER) != store_identity(settings):
            self.close()
            remedy = _remedy(by_port=self._by_port)
            raise _unreachable(settings, f"the process at {self._shown} is not the worker of this store. {remedy}")

    @property
    def status(self) -> int:
        """HTTP status of the response."""
        return self._response.status

    def read(self, size: int | None = None) -> bytes:
        """Read the rest of the response, or at most `size` bytes of it. Raises `NoResponse` if it ends early."""
        try:
            return self._response.read(size)
        except (OSError, HTTPException) as error:
            raise self._no_response(error) from error

    def require_success(self, content: bytes) -> None:
        """Raise `Refusal` if the response is none to the request."""
        why = content.decode(errors="replace").strip()
        if self.status in _REFUSED:
            raise Refusal(f"the worker at {self._shown}: {why}", Exit.UNREACHABLE)
        if self.status != _OK:
            raise self.not_supported(why)

    def not_supported(self, why: str) -> Refusal:
        """Return the refusal of a worker of another version."""
        return Refusal(
            f"the worker at {self._shown} does not support this command: {why}. "
            "Use the command of the worker's version",
            Exit.UNREACHABLE,
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _no_response(self, error: Exception) -> NoResponse:
        detail = getattr(error, "strerror", None) or error
        return NoResponse(
            f"{_in_use(self._settings)}nothing responds at {self._shown}: {detail}. If a worker is starting, retry "
            f"later. {_advice(by_port=self._by_port)}",
            Exit.UNREACHABLE,
        )


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
