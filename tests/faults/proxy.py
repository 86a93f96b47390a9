"""A TCP proxy before the brokers that knows Kafka's framing: it can lose, delay or cut off one answer of one kind.

Before PostgreSQL it passes bytes on as they come.
"""

import asyncio
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

HOST = "127.0.0.1"
CALL_LIMIT_S = 10.0
CHUNK = 64 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Target = Callable[[], Awaitable[Streams]]
"""Opens a connection to what is behind a door."""


def at_port(port: int) -> Target:
    """Return the target that listens on a port of this machine."""
    return lambda: asyncio.open_connection(HOST, port)


def at_socket(path: str) -> Target:
    """Return the target that listens on a Unix socket."""
    return lambda: asyncio.open_unix_connection(path)


class Api(IntEnum):
    """The requests whose answers matter, by their numbers in Kafka's protocol."""

    PRODUCE = 0
    OFFSET_COMMIT = 8
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26


class Deed(Enum):
    """The treatment of an answer."""

    DROP = "dropped"  # from here on the connection is silent, as behind a firewall that forgot it
    DELAY = "delayed"
    HANG_UP = "cut off"


@dataclass
class Rule:
    """The next answer of this kind gets this deed. `fired` counts."""

    api: Api
    deed: Deed
    seconds: float = 0.0
    left: int = 1
    fired: int = 0


class Weather(Enum):
    """The state of the whole network between a worker and what is behind its doors."""

    CLEAR = "clear"
    SILENT = "a black hole"
    SLOW = "slow"


SLOW_LATENCY_S = 0.15
SLOW_BYTES_A_SECOND = 200_000


class Doors:
    """One proxy a broker, on a thread of their own. `ports` are where clients come in, in the brokers' order.

    Rules are for what speaks Kafka's protocol; the weather is for anybody.
    """

    def __init__(self, targets: Sequence[Target], *, speaks_kafka: bool = True) -> None:
        self.speaks_kafka = speaks_kafka
        self.rules: list[Rule] = []
        self.weather = Weather.CLEAR
        self.answers = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="doors", daemon=True)
        self._thread.start()
        self.ports = self._call(self._open(targets)).result(CALL_LIMIT_S)

    @property
    def addresses(self) -> str:
        """The bootstrap servers for a client."""
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    def lay(self, rule: Rule) -> Rule:
        """Let the rule wait for its answer."""
        self.rules = [*self.rules, rule]
        return rule

    def lift_rules(self) -> None:
        """Forget every rule."""
        self.rules = []

    def cut(self) -> int:
        """Cut every connection there is now; how many there were."""
        cut: int = self._call(self._cut()).result(CALL_LIMIT_S)
        return cut

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_LIMIT_S)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self, targets: Sequence[Target]) -> list[int]:
        servers = [await asyncio.start_server(self._door(target), HOST, 0) for target in targets]
        self._servers = servers
        return [server.sockets[0].getsockname()[1] for server in servers]

    async def _cut(self) -> int:
        cut = len(self._writers)
        for writer in self._writers:
            writer.transport.abort()
        return cut

    def _door(
        self, target: Target
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                upstream, upward = await target()
            except OSError:
                writer.transport.abort()
                return
            self._writers |= {writer, upward}
            try:
                await _Passage(self, reader, writer, upstream, upward).run()
            finally:
                self._writers -= {writer, upward}
                writer.transport.abort()
                upward.transport.abort()

        return serve

    def rule_for(self, api: int | None) -> Rule | None:
        """Return the first rule that applies to this response, and count it as fired; None if there is none."""
        for rule in self.rules:
            if rule.api == api and rule.left:
                rule.left -= 1
                rule.fired += 1
                return rule
        return None


class _Passage:
    """One client's connection to one broker."""

    def __init__(
        self,
        doors: Doors,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        broker: asyncio.StreamReader,
        to_broker: asyncio.StreamWriter,
    ) -> None:
        self._doors = doors
        self._client, self._to_client = client, to_client
        self._broker, self._to_broker = broker, to_broker
        self._frame = _frame if doors.speaks_kafka else _chunk
        self._asked: dict[int, int] = {}
        self._is_silent = False

    async def run(self) -> None:
        ways = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        while True:
            frame = await self._frame(self._client)
            if self._doors.speaks_kafka:
                api, _, correlation = struct.unpack_from(">hhi", frame, 4)
                self._asked[correlation] = api
            await self._pass(frame, self._to_broker)

    async def _answers(self) -> None:
        while True:
            frame = await self._frame(self._broker)
            rule = self._doors.rule_for(self._api_of(frame))
            self._doors.answers += 1
            if rule is not None and rule.deed is Deed.HANG_UP:
                return
            if rule is not None and rule.deed is Deed.DELAY:
                await asyncio.sleep(rule.seconds)
            self._is_silent |= rule is not None and rule.deed is Deed.DROP
            if not self._is_silent:
                await self._pass(frame, self._to_client)

    def _api_of(self, answer: bytes) -> int | None:
        if not self._doors.speaks_kafka:
            return None
        (correlation,) = struct.unpack_from(">i", answer, 4)
        return self._asked.pop(correlation, None)

    async def _pass(self, frame: bytes, writer: asyncio.StreamWriter) -> None:
        while self._doors.weather is Weather.SILENT:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.05)
        if self._doors.weather is Weather.SLOW:
            await asyncio.sleep(SLOW_LATENCY_S + len(frame) / SLOW_BYTES_A_SECOND)
        writer.write(frame)
        await writer.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """One request or answer with its length before it. Raises where the connection ends."""
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "big"))


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    """Return the bytes that have arrived. Raises if the connection ends."""
    if not (chunk := await reader.read(CHUNK)):
        raise EOFError
    return chunk
