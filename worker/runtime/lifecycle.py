"""Lifecycle of a worker: the order in which it opens, starts, drains and closes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module

import structlog
from faststream import FastStream
from faststream.kafka import KafkaBroker

from worker import start_failures
from worker.errors import Exit, Stop
from worker.failpoints import reach
from worker.kafka import record_parsing
from worker.logs import configuration as logs
from worker.logs import loop_errors
from worker.metrics.counters import Metrics
from worker.runtime.components import open_components
from worker.runtime.supervision import supervise
from worker.runtime.tasks import BackgroundTasks
from worker.settings import Settings
from worker.shutdown import Shutdown
from worker.signals import STOP_REQUEST
from worker.stores.thread import StoreThread
from worker.tracing.environment import start_tracing

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0


class Worker:
    """A worker. `app` is its FastStream application, which runs it."""

    def __init__(self, settings: Settings, broker: KafkaBroker, metrics: Metrics) -> None:
        self._settings = settings
        self._broker = broker
        self._metrics = metrics
        self._tasks = BackgroundTasks()
        self.app = FastStream(
            broker,
            logger=None,
            lifespan=self._lifespan,
            after_startup=[self._after_startup],
            on_shutdown=[self._drain],
        )

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        """Open everything before the broker connects, and close it after the broker has stopped.

        Ends with the exit code of the worker.
        """
        logs.configure(self._settings.log)
        self._tracing = start_tracing(self._settings.kafka.group_id)
        loop_errors.install(asyncio.get_running_loop())
        record_parsing.install()
        self._started_at = datetime.now(UTC)
        self._stop = Stop()
        self._shutdown = Shutdown(STOP_REQUEST, lambda: self._stop.code)
        self._shutdown.on_signal(self._stop_by_signal)
        self._thread = StoreThread()
        await self._open()
        try:
            await self._components.require_compatible_members()
            yield
        except Exception as error:  # noqa: BLE001 - every failed start ends in one sentence
            has_joined = self._components.consumer.joining.is_over
            event = "worker failed" if has_joined else "start failed"
            self._stop.code = await self._log_failure(error, event)
            await self._stop_broker()
        finally:
            await self._close()
        self._shutdown.finish()
        if self._stop.code is not Exit.DONE:
            raise SystemExit(self._stop.code)

    async def _open(self) -> None:
        """Open the resources, and start the tasks that are needed while the worker waits for its group."""
        opening = open_components(self._settings, self._thread, self._stop, self._metrics, self._tracing)
        try:
            self._components = components = await self._shutdown.unless_stopped(opening, self._stop)
        except Exception as error:  # noqa: BLE001 - every failed start ends in one sentence
            self._thread.close(wait=False)
            raise SystemExit(await self._log_failure(error, "start failed")) from None
        components.consumer.subscribe(self._broker)
        self._tasks.start("watch_store", components.watch_store())
        self._tasks.start("watch", components.consumer.joining.watch())
        if components.socket is not None:  # the status of a worker that waits for its group is visible
            self._tasks.start("serve", self._serve())
        self._tasks.start("membership", components.evict_dead_members())

    async def _serve(self) -> None:
        """Serve HTTP and commands. The modules for it are loaded while the worker joins its group."""
        http_service = await asyncio.to_thread(import_module, "worker.runtime.http_service")
        await http_service.HttpService(self._settings, self._components, self._metrics, self._started_at).serve()

    async def _after_startup(self) -> None:
        components = self._components
        components.consumer.joining.accepted()
        if self._stop.is_asked:
            return
        gc.disable()  # the consumer collects between batches
        gc.freeze()
        log.info("started", group=self._settings.kafka.group_id, store=self._settings.store.shown)
        self._tasks.start("relay_once_assigned", components.relay_once_assigned())
        self._tasks.start("run_mirror", components.consumer.run_mirror())
        self._tasks.start("watch_inputs", components.consumer.inputs.run())
        self._tasks.start("supervise", supervise(components.consumer, self._tasks, self._stop))
        self._tasks.start("exit_when_asked", self._exit_when_asked())

    async def _exit_when_asked(self) -> None:
        await self._stop.wait()
        self.app.exit()

    def _stop_by_signal(self) -> None:
        self._stop.ask()
        self.app.exit()

    async def _drain(self) -> None:
        """Finish the batch in hand, publish the outbox, commit the offsets and leave the group, each within a limit."""
        self._stop.ask()
        step, consumer, relay = self._shutdown.step, self._components.consumer, self._components.relay
        if await step("finishing the current batch", consumer.drain(), keep=4.0):
            # Also if reading was refused: earlier decisions are published.
            if relay.is_running and not await step("publishing", relay.caught_up(), keep=3.0):
                await step("counting the outbox", self._log_unpublished(), keep=2.6)
            await step("committing the offsets", consumer.commit_offsets(), keep=2.0)
        reach("drained")
        self._tasks.cancel()
        await step("cancelling the tasks", self._tasks.wait(), keep=1.6)
        await step("leaving the group", self._broker.stop(), keep=1.0)

    async def _log_unpublished(self) -> None:
        records = await self._thread.call(lambda: self._components.store.unpublished)
        log.warning("publishing unfinished", unpublished=records)

    async def _close(self) -> None:
        """Close the producer, the query server and the store, each within a limit."""
        step, components = self._shutdown.step, self._components
        if components.command_socket is not None:
            components.command_socket.close()
        await step("closing the producer", components.relay.close(), keep=0.8)
        await step("closing the query server", components.close_queries(), keep=0.6)
        await step("closing the store", self._thread.call(components.store.close), keep=0.3)
        await step("exporting the last spans", self._tracing.close(), keep=0.1)
        self._thread.close(wait=False)
        if components.socket is not None:
            components.socket.close()
        gc.enable()

    async def _log_failure(self, error: Exception, event: str) -> Exit:
        """Log the cause in one sentence. Returns the exit code."""
        refusal = await start_failures.explain(self._settings, error)
        log.critical(event, reason=str(refusal), exc_info=error if refusal.code is Exit.SAFETY else None)
        return refusal.code

    async def _stop_broker(self) -> None:
        """Stop a broker that has started only in part."""
        await self._tasks.abort()
        with suppress(Exception):
            await asyncio.wait_for(self._broker.stop(), CLOSE_SECONDS)
