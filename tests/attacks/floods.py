"""Floods of connections that send no request, and that connect again as soon as the worker closes them."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count

from tests.attacks.attack import NotPossible, Targets
from tests.attacks.target import DESCRIPTORS, Target
from tests.attacks.waiting import wait_until
from tests.support.records import Message
from tests.support.spelling import signup
from worker.http.connections import REQUEST_SECONDS, connection_limit

CONNECTIONS = 2_000
FLOOD_SECONDS = 15.0
PROBE_SECONDS = 3.0
"""Time limit of the probes in docs/operating.md."""
NUMBERS = count()


class Flood:
    """Clients that connect, send a piece every second, and connect again a second after they are closed."""

    def __init__(self, port: int, pieces: Sequence[bytes]) -> None:
        self._port = port
        self._pieces = pieces
        self.opened = 0
        self.connected = 0

    async def run(self, ended: asyncio.Event) -> None:
        """Attack until the event is set."""
        clients = [asyncio.create_task(self._client()) for _ in range(CONNECTIONS)]
        await ended.wait()
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self) -> None:
        while True:
            with suppress(OSError):
                await self._connection()
            await asyncio.sleep(1)

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.opened += 1
        self.connected += 1
        sending = asyncio.create_task(self._send(writer))
        try:
            while await reader.read(4096):
                pass
        finally:
            self.connected -= 1
            sending.cancel()
            writer.transport.abort()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        for piece in self._pieces:
            writer.write(piece)
            await asyncio.sleep(1)


@contextmanager
def flooding(port: int, pieces: Sequence[bytes]) -> Iterator[Flood]:
    """Flood the port from a thread until the block ends."""
    loop, flood, ended = asyncio.new_event_loop(), Flood(port, pieces), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=[flood.run(ended)])
    thread.start()
    try:
        yield flood
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def flooded(target: Target, pieces: Sequence[bytes]) -> str:
    """Flood the worker, and require meanwhile that it answers probes, applies records and keeps its descriptors."""
    allow_descriptors()
    before, most, probes = target.descriptors(), 0, list[float | None]()
    with flooding(target.port, pieces) as flood:
        ends = time.monotonic() + FLOOD_SECONDS
        while time.monotonic() < ends:
            probes.append(probe(target.port, "/livez"))
            most = max(most, target.descriptors())
            target.take(new_customer())
        probes.append(probe(target.port, "/readyz"))
    answered = [each for each in probes if each is not None]
    assert len(answered) >= len(probes) - 1, f"{len(answered)} of {len(probes)} probes answered"
    assert flood.opened >= CONNECTIONS
    assert most < before + connection_limit() + DESCRIPTORS / 4, f"{most} descriptors, {before} before"
    # The worker may have opened connections to Kafka meanwhile.
    wait_until(lambda: target.descriptors() <= before + 30, "connections closed", 2 * REQUEST_SECONDS)
    assert "Too many open files" not in target.worker.said()
    assert not target.worker.errors()
    slowest = max(answered) * 1000
    return (
        f"{flood.opened:,} connections, {most} descriptors; {len(answered)} of {len(probes)} probes in {slowest:.0f} ms"
    )


def probe(port: int, path: str) -> float | None:
    """Return the seconds until the worker has answered with 200; None if it has not, within the limit of a probe.

    One probe in a flood may fail, as the kubelet allows: if this machine does not run curl between its connection and
    its request, hundreds of connections can come in between.
    """
    command = ["curl", "-sS", "-o", "/dev/null", "-m", str(PROBE_SECONDS), "-w", "%{http_code} %{time_total}"]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=False)
    status, _, seconds = done.stdout.partition(" ")
    return float(seconds) if status == "200" else None


def new_customer() -> Message:
    """Return the signup of a customer that no other has."""
    customer_id = f"00000000-0000-4000-8000-{next(NUMBERS):012}"
    return Message("signup", customer_id.encode(), signup(customer_id))


def allow_descriptors() -> None:
    """Let this process have as many connections as the flood needs."""
    wanted = 2 * CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise NotPossible(f"the limit of descriptors is {hard}, less than {wanted}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def idle(targets: Targets) -> str:
    """Flood with connections that send nothing."""
    return flooded(targets.open, [])


def dribbling(targets: Targets) -> str:
    """Flood with connections that send a byte of a header every second."""
    return flooded(targets.open, [b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ", *[b"x"] * 3_600])


def silent_connections_are_closed(targets: Targets) -> str:
    """Leave connections alone, without a request, in a header, and after a response."""
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    seconds = [closed_after(targets.open, sent) for sent in (b"", request, request + b"\r\n")]
    assert max(seconds) < REQUEST_SECONDS + 2
    return f"closed after {', '.join(f'{each:.1f}' for each in seconds)} s"


def closed_after(target: Target, sent: bytes) -> float:
    """Return the seconds until the worker closes a connection that has sent only this."""

    async def wait() -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        began = time.monotonic()
        writer.write(sent)
        with suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10 * REQUEST_SECONDS)
        writer.transport.abort()
        return time.monotonic() - began

    return asyncio.run(wait())
