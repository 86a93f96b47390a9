"""A worker without Kafka whose pages are shown: real parts on a real store, in the states that a test sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

from aiokafka import TopicPartition
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message

from tests.support.builders import batch_path
from tests.support.html import Page
from worker.consumer.subscriber import Consumer
from worker.errors import Stop
from worker.http.metrics_route import metrics_route
from worker.http.pages.routes import PageRoutes
from worker.http.query_routes import QueryRoutes
from worker.http.server import command_application, open_routes, port_application
from worker.kafka.topic_metadata import PartitionMetadata, TopicMetadata
from worker.metrics.counters import Metrics
from worker.metrics.event_ages import SECONDS
from worker.monitoring.gauges import Gauges
from worker.monitoring.health import Health
from worker.monitoring.history import EVERY_SECONDS, Counters, History
from worker.monitoring.store_watch import StoreWatch
from worker.monitoring.worker_report import STORE_HEADER
from worker.outbox.relay import Relay
from worker.queries.server import QueryServer
from worker.settings import Settings
from worker.stores.port import Store
from worker.stores.thread import StoreThread


@dataclass
class Polls:
    """A substitute for the polls of Kafka."""

    turned_seconds: float = 0.2
    answered_seconds: float = 0.5
    ended_task: str | None = None
    has_records: bool = False


class ShownWorker:
    """The parts of a worker that has joined its group, all of them well. To be made while an event loop runs."""

    def __init__(self, store: Store, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.store = store
        self._thread = thread = StoreThread()
        stop = Stop()
        self.metrics = Metrics(self.settings.topics)
        self.relay = Relay(self.settings, store, thread, stop, self.metrics)
        self.relay.recovered.set()
        self.polls = Polls()
        self.consumer = Consumer(self.settings, store, thread, batch_path(), self.relay, stop, self.metrics)
        self.consumer.polling = self.polls  # type: ignore[assignment]
        self.consumer.is_running = lambda: True  # type: ignore[method-assign]
        self.consumer.assignment.subscriber = SimpleNamespace(consumer=None)
        self.consumer.assignment.is_set.set()
        self.consumer.joining.accepted()
        self.health = Health(self.consumer, self.relay, StoreWatch(store, thread))
        self.gauges = Gauges(self.consumer, self.health, store, self.settings)
        self.history = History()
        self.query_server = QueryServer(store, self.settings)
        started_at = datetime.now(UTC) - timedelta(hours=2)
        self.report = lambda: self.health.report(started_at)
        self.pages = PageRoutes(self.settings, self.metrics, self.gauges, self.history, self.report, self.query_server)

    async def close(self) -> None:
        """End the threads."""
        await self.pages.close()
        await self.query_server.close()
        self._thread.close()

    def application(self) -> ASGIApp:
        """Return the application of the port."""
        return port_application(self.settings.http, self._queries(), self._open_routes(), self.pages)

    def command_application(self) -> ASGIApp:
        """Return the application of the command socket."""
        return command_application(self.settings.http, self._queries(), self._open_routes(), self.pages)

    def _queries(self) -> QueryRoutes:
        return QueryRoutes(self.query_server, self.report, {STORE_HEADER: "here"})

    def _open_routes(self) -> list[BaseRoute]:
        return open_routes(self.health, self.settings, metrics_route(self.metrics, self.gauges))

    async def get(self, target: str, *, token: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the response of the port, on a loopback address, to a GET."""
        sent = {"authorization": f"Bearer {token}"} if token else {}
        return await answer(self.application(), target, {**sent, **(headers or {})})

    async def show(self, target: str = "/") -> Page:
        """Return the page that the command socket serves, whose clients may see all of them."""
        return Page((await self.get_by_socket(target)).body.decode())

    async def get_by_socket(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the response of the command socket to a GET."""
        return await answer(self.command_application(), target, headers or {}, server=("/socket", None))

    def has_lag(self, lags: Mapping[tuple[str, int], int], *, behind_seconds: float = 0.0) -> None:
        """Set the lag of each partition; the oldest unread record was seen so long ago."""
        watched, now = self.consumer.inputs._partitions, time.monotonic()
        topics: dict[str, TopicMetadata] = {}
        for topic in {topic for topic, _ in lags}:
            numbers = [number for name, number in lags if name == topic]
            described = {number: PartitionMetadata(0, 0) for number in numbers}
            topics[topic] = TopicMetadata(topic, None, None, described, None)
        own = frozenset(TopicPartition(*at) for at in lags)
        watched.note_topics(topics, own, frozenset(), now)
        watched.note_positions({TopicPartition(*at): 10_000 for at in lags}, now)
        watched.note_ends({TopicPartition(*at): 10_000 + lag for at, lag in lags.items()}, now - behind_seconds)
        watched.note_readable(frozenset(), now)
        watched.described_at = now + 3_600  # the test may take a while

    def is_cut_off(self, seconds: float) -> None:
        """Let Kafka have been silent for so long."""
        self.consumer.inputs._partitions.described_at = time.monotonic() - seconds
        self.polls.answered_seconds = seconds

    def has_run(self, points: Sequence[Past]) -> None:
        """Fill the history with the points of the last minutes, the last one now."""
        now = time.time()
        records, ages = 0, [0] * (len(SECONDS) + 1)
        self.history.add(now - len(points) * EVERY_SECONDS, Counters(0, tuple(ages)), None, ())
        for number, point in enumerate(points, 1):
            records += point.records
            for age, count in point.ages.items():
                ages[age] += count
            at = now - (len(points) - number) * EVERY_SECONDS
            self.history.add(at, Counters(records, tuple(ages)), point.lag, point.batches)


@dataclass
class Past:
    """A point of the history: records read, lag, durations of batches, and events by the bucket of their age."""

    records: int
    lag: int | None
    batches: Sequence[float]
    ages: Mapping[int, int]


class Answer(NamedTuple):
    """A response. Of several headers with one name, the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes


async def answer(
    application: ASGIApp,
    target: str,
    headers: Mapping[str, str],
    server: tuple[str, int | None] = ("127.0.0.1", 8080),
    method: str = "GET",
) -> Answer:
    """Return the response to a request, as the server hands it to the application."""
    path, _, query = target.partition("?")
    sent = {"host": "localhost:8080", **headers}
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "server": server,
        "scheme": "http",
        "http_version": "1.1",
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    await application(scope, receive, send)
    start, *bodies = messages
    received = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], received, b"".join(body["body"] for body in bodies))


T = TypeVar("T")


def with_worker(store: Store, body: Callable[[ShownWorker], Awaitable[T]], settings: Settings | None = None) -> T:
    """Run the body with a worker on this store, and return its result."""

    async def run() -> T:
        worker = ShownWorker(store, settings)
        try:
            return await body(worker)
        finally:
            await worker.close()

    return asyncio.run(run())


def shown(store: Store, target: str = "/", settings: Settings | None = None) -> Page:
    """Return a page of a worker that is well, as the command socket serves it."""
    return with_worker(store, lambda worker: worker.show(target), settings)
