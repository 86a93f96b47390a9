"""The composition root: settings in, a FastStream application out.

`create` is the factory for FastStream's own command line (`faststream run worker.app:create --factory`); nothing
happens at import.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from faststream import FastStream
from faststream.kafka import KafkaBroker

from worker import preflight, start_failures
from worker.addresses import shown_address
from worker.bootstrap import batch_path, open_store, store_identity
from worker.consumer import joining
from worker.consumer.single_owner_assignor import evict_dead_members, members_of
from worker.consumer.subscriber import Consumer
from worker.errors import Exit, Refusal, Stop, internal_error
from worker.failpoints import reach
from worker.http import server as http
from worker.http.operations_page import OperationsPage
from worker.http.operations_routes import OperationsRoutes
from worker.http.query_routes import QueryRoutes
from worker.kafka import clients as kafka
from worker.kafka import record_parsing, rights
from worker.kafka.clients import Member
from worker.kafka.security import broker_security
from worker.logs import configuration as logs
from worker.logs import loop_errors
from worker.logs.kafka_connection import KafkaConnection
from worker.logs.limits import LIMITS
from worker.metrics.counters import Metrics
from worker.metrics.poll_metrics import poll_metrics
from worker.monitoring.gauges import Gauges
from worker.monitoring.health import Health
from worker.monitoring.store_watch import StoreWatch
from worker.outbox.relay import Relay
from worker.queries.server import Answering
from worker.settings import Settings, SettingsError
from worker.shutdown import Shutdown
from worker.signals import STOP_REQUEST
from worker.stores.thread import StoreThread

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0
WATCH_EVERY_SECONDS = 1.0
METADATA_MAX_AGE_MS = 30_000  # how late a partition added to an input topic is noticed, at most


def create() -> FastStream:
    """The application, from the environment's settings; exits with 78 and one sentence a mistake in them."""
    try:
        return Worker(Settings.read()).app
    except (SettingsError, Refusal) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.code if isinstance(error, Refusal) else Exit.CONFIGURATION) from None


class Worker:
    """One running worker: its application, and everything that lives as long as that runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics(settings.topics)
        broker = KafkaBroker(
            kafka.client_options(settings.kafka)["bootstrap_servers"],
            security=broker_security(settings.kafka),
            allow_auto_create_topics=False,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            connections_max_idle_ms=kafka.CONNECTIONS_MAX_IDLE_MS,
            graceful_timeout=None,  # `_drain` waits for the batch in hand
            apply_types=False,
            middlewares=[poll_metrics(self._metrics.registry, settings.topics)],
            logger=logging.getLogger("faststream"),
        )
        self.app = FastStream(
            broker,
            logger=None,
            lifespan=self._lifespan,
            after_startup=[self._after_startup],
            on_shutdown=[self._drain],
        )
        self._broker = broker
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        """Everything is opened before the broker connects, and closed after it has let go. Ends with the exit code."""
        logs.configure(self._settings.log)
        loop_errors.install(asyncio.get_running_loop())
        record_parsing.install()
        self._started_at = datetime.now(UTC)
        self._stop = Stop()
        self._shutdown = Shutdown(STOP_REQUEST, lambda: self._stop.code)
        self._shutdown.on_signal(self._stop_by_signal)
        self._thread = StoreThread()
        try:
            before = await self._shutdown.unless_stopped(self._open(), self._stop)
        except Exception as error:  # noqa: BLE001 - every failed start ends in one sentence
            self._thread.close(wait=False)
            raise SystemExit(await self._log_failed_start(error)) from None
        self._build(before)
        try:
            await joining.require_compatible_members(self._settings, self._consumer.assignor.name)
            yield
        except Exception as error:  # noqa: BLE001 - likewise
            self._stop.code = await self._log_failed_start(error)
            await self._close_broker()
        finally:
            await self._close()
        self._shutdown.finish()
        if self._stop.code is not Exit.DONE:
            raise SystemExit(self._stop.code)

    def _build(self, members: Sequence[Member]) -> None:
        """Make the parts, and start those that are needed while the worker waits for its group."""
        self._answering = Answering(self._store, self._settings)
        self._store_watch = StoreWatch(self._store, self._thread)
        self._relay = Relay(self._settings, self._store, self._thread, self._stop, self._metrics)
        path = batch_path(self._settings)
        self._consumer = Consumer(
            self._settings, self._store, self._thread, path, self._relay, self._stop, self._metrics
        )
        self._consumer.subscribe(self._broker)
        self._start_tasks(self._watch_store, self._consumer.joining.watch)
        if self._socket is not None:
            self._start_tasks(self._serve)  # a worker that waits for its group is to be seen
        if store := self._store.exclusive_id:
            self._tasks.append(
                asyncio.create_task(evict_dead_members(self._settings, members, store), name="membership")
            )

    async def _close(self) -> None:
        """Let go of Kafka, of questions and of the store, each within a limit."""
        step = self._shutdown.step
        await step("closing the producer", self._relay.close(), keep=0.8)
        await step("ending questions", self._answering.close(), keep=0.6)
        await step("closing the store", self._thread.call(self._store.close), keep=0.3)
        self._thread.close(wait=False)
        if self._socket is not None:
            self._socket.close()
        gc.enable()

    async def _open(self) -> Sequence[Member]:
        """Open what the worker needs; gives the members of the group before it joins."""
        await rights.require_rights(self._settings)
        await preflight.require_topics(self._settings)
        before = await members_of(self._settings)  # while they can still be told apart
        self._store = await self._thread.call(open_store, self._settings)
        reach("store-opened")
        self._socket = http.listen(self._settings.http) if self._settings.http.enabled else None
        return before

    async def _after_startup(self) -> None:
        self._consumer.joining.accepted()
        if self._stop.is_asked:
            return
        gc.disable()  # the consumer collects between batches
        gc.freeze()
        log.info("started", group=self._settings.kafka.group_id, store=self._settings.store.shown)
        self._start_tasks(
            self._relay_once_assigned,
            self._consumer.run_mirror,
            self._watch_inputs,
            self._watch,
            self._exit_when_asked,
        )

    def _start_tasks(self, *parts: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks += [asyncio.create_task(part(), name=part.__name__.strip("_")) for part in parts]

    async def _log_failed_start(self, error: Exception) -> Exit:
        """Log the cause in one sentence; the exit code."""
        refusal = await start_failures.explain(self._settings, error)
        is_start = not self._consumer.joining.is_over if hasattr(self, "_consumer") else True
        event = "cannot start" if is_start else "stopped by an error"
        log.critical(event, why=str(refusal), exc_info=error if refusal.code is Exit.SAFETY else None)
        return refusal.code

    async def _close_broker(self) -> None:
        """Let go of a broker of which only a part has started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(Exception):
            await asyncio.wait_for(self._broker.stop(), CLOSE_SECONDS)

    async def _relay_once_assigned(self) -> None:
        """Publish, but not before the group has accepted this worker: a new relay ends the one that publishes now."""
        await self._consumer.assignment.is_set.wait()
        await self._relay.run()

    async def _serve(self) -> None:
        assert self._socket is not None  # noqa: S101 - only then is this a part
        host, port = self._socket.getsockname()[:2]
        log.info("serving", url=f"http://{shown_address(host, port)}")
        health = Health(self._consumer, self._relay, self._store_watch)
        gauges = Gauges(self._consumer, health, self._store, self._settings)
        page = OperationsPage(self._settings, self._metrics)
        shown = OperationsRoutes(self._metrics, gauges, page, lambda: health.report(self._started_at))
        asked = QueryRoutes(
            self._answering,
            lambda: health.report(self._started_at),
            store_identity(self._settings),
            self._settings.http.host,
        )
        application = http.application(health, self._settings.topics, asked, shown)
        await http.Server(application).serve(sockets=[self._socket])

    async def _watch_store(self) -> None:
        await self._store_watch.run(is_busy=lambda: self._consumer.applier.batch_began is not None)

    async def _watch_inputs(self) -> None:
        await self._consumer.inputs.run()

    async def _watch(self) -> None:
        """Notice what would otherwise die in silence."""
        connection = KafkaConnection(LIMITS)
        while True:
            await asyncio.sleep(WATCH_EVERY_SECONDS)
            connection.look(self._consumer.assignment.consumer)
            if not self._consumer.is_running():
                self._stop.fail_stop("the consumer's loop has ended by itself. Start the worker again; report the log")
                return
            if ended := self._consumer.polling.ended_task:
                self._stop.fail_stop(f"aiokafka's task of {ended} has ended. Start the worker again; report the log")
                return
            for task in self._tasks:
                if task.done() and not task.cancelled() and (error := task.exception()):
                    log.error("a part of the worker failed", part=task.get_name(), exc_info=error)
                    self._stop.fail_stop(internal_error(error))
                    return

    async def _exit_when_asked(self) -> None:
        await self._stop.wait()
        self.app.exit()

    def _stop_by_signal(self) -> None:
        self._stop.ask()
        self.app.exit()

    async def _drain(self) -> None:
        """Finish the batch in hand, publish the outbox, commit the offsets and leave the group, each within a limit."""
        self._stop.ask()
        step = self._shutdown.step
        if self._tasks and await step("finishing the batch in hand", self._consumer.drain(), keep=4.0):
            # Also where reading was refused: what was decided before is published.
            if self._relay.is_running and not await step("publishing", self._relay.caught_up(), keep=3.0):
                await step("counting the outbox", self._log_unpublished(), keep=2.6)
            await step("committing the offsets", self._consumer.commit_offsets(), keep=2.0)
        reach("drained")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await step("ending the tasks", _ended(self._tasks), keep=1.6)
        await step("leaving the group", self._broker.stop(), keep=1.0)

    async def _log_unpublished(self) -> None:
        records = await self._thread.call(lambda: self._store.unpublished)
        log.warning("publishing unfinished; the next start continues", unpublished=records)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
