"""Limits of connections: their number, and the time until a request and its response are complete.

uvicorn limits neither: a connection that sends nothing, or one byte a second, stays open, and `limit_concurrency`
refuses the requests of every client, health checks included, while such connections are counted. Of other servers,
Hypercorn has a timeout for reading but no limit of connections, and Granian runs in processes of its own.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, cast

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0
"""From the connection, or from the previous response, to the end of a request's header."""
RESPONSE_SECONDS = 60.0
"""From there to the last byte of the response; queries end within 10 s."""
MAX_CONNECTIONS = 256
_DESCRIPTORS_PER_CONNECTION = 4
"""Of four descriptors, connections get one: the others are for Kafka, the store and the libraries."""


def connection_limit() -> int:
    """Return the number of connections that one server keeps open."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, descriptors // _DESCRIPTORS_PER_CONNECTION)


class BoundedConnection(H11Protocol):
    """A connection with deadlines. Beyond the limit, a new one takes the place of the one that has waited longest.

    Thus a flood of idle connections does not keep out a health check, which sends its request at once.
    """

    _timer: asyncio.TimerHandle | None = None
    _phase: tuple[Any, bool] | None = None
    _since = 0.0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > connection_limit():
            self._replace_waiting_connection()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    @override
    def send_400_response(self, msg: str) -> None:
        headers = [*self.server_state.default_headers, (b"content-type", b"text/plain"), (b"connection", b"close")]
        response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (response, h11.Data(data=msg.encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Start the deadline of a phase, once: bytes that arrive do not extend it."""
        phase = self.cycle, self._is_busy
        if phase == self._phase or self.transport.is_closing():
            return
        self._phase, self._since = phase, self.loop.time()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(RESPONSE_SECONDS if self._is_busy else REQUEST_SECONDS, self.transport.abort)

    @property
    def _is_responding(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    @property
    def _is_busy(self) -> bool:
        return self._is_responding or self.flow.write_paused

    @property
    def _is_waiting_for_client(self) -> bool:
        return not self._is_responding or self.flow.write_paused

    def _replace_waiting_connection(self) -> None:
        others = (cast("BoundedConnection", other) for other in self.connections if other is not self)
        waiting = [other for other in others if other._is_waiting_for_client]  # noqa: SLF001 - of the same class
        replaced = min(waiting, key=lambda other: other._since, default=self)  # noqa: SLF001
        self.connections.discard(replaced)  # at once: its descriptor is closed in the next turn of the loop
        replaced.transport.abort()
