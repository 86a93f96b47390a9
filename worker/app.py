"""The composition root: settings in, a FastStream application out. It alone knows the concrete stores.

`create` is the factory for FastStream's own command line (`faststream run worker.app:create --factory`); nothing
happens at import.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
from faststream import FastStream
from faststream.kafka import KafkaBroker
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from worker import checks, http, kafka, logs, raw_headers
from worker.answering import Answering
from worker.batch import BatchPath
from worker.checks import Check
from worker.consumer import Consumer
from worker.failpoints import reach
from worker.gauges import Gauges
from worker.health import Health
from worker.http_ask import AskRoutes
from worker.http_shown import ShownRoutes
from worker.messages import Decoder
from worker.metrics import Metrics
from worker.one_worker import members_of, take_out_the_dead
from worker.outgoing import Composer
from worker.pages import OperationsPage
from worker.poll_metrics import poll_metrics
from worker.relay import Relay
from worker.replay.counting import CountedPath
from worker.settings import Settings, SettingsError
from worker.stopping import Exit, Refusal, Stop
from worker.store import Store, StoreError, StoreInUseError
from worker.store_thread import StoreThread
from worker.store_watch import StoreWatch
from worker.stores import duckdb_copy, duckdb_view
from worker.stores.duckdb import DuckDBStore
from worker.stores.duckdb_file import MEMORY
from worker.view import StoreView

log = structlog.get_logger(__name__)

PUBLISH_ON_STOP_SECONDS = 10.0
WATCH_EVERY_SECONDS = 1.0
IN_USE_SECONDS = 5.0
METADATA_MAX_AGE_MS = 30_000  # how late a partition added to an input topic is noticed, at most


def open_store(settings: Settings) -> Store:
    """The store that the settings name. Raises `Refusal` when it cannot be had.

    A command that reads the store has it for a moment, which is waited for.
    """
    waiting = Retrying(
        wait=wait_fixed(0.1),
        stop=stop_after_delay(IN_USE_SECONDS),
        retry=retry_if_exception_type(StoreInUseError),
        before_sleep=lambda state: log.debug("store in use, waiting") if state.attempt_number == 1 else None,
        reraise=True,
    )
    try:
        return waiting(DuckDBStore, settings.store.path)
    except StoreError as error:
        raise Refusal(str(error), Exit.UNREACHABLE) from error


def open_view(settings: Settings) -> StoreView:
    """The store that the settings name, for reading it in this process. Raises `StoreError`.

    It is to be closed soon: a worker does not start meanwhile.
    """
    if settings.store.path == MEMORY:
        raise StoreInUseError("the store is in the memory of its worker")
    return duckdb_view.open_view(settings.store.path)


@contextmanager
def open_copy(settings: Settings, tell: Callable[[int, int], None]) -> Iterator[Store]:
    """A copy of the store, for as long as it is needed; `tell` is told of how many bytes are copied, of how many.

    Raises `StoreError` as `duckdb_copy.copied` does.
    """
    with duckdb_copy.copied(settings.store.path, tell) as path, closing(DuckDBStore(path)) as store:
        yield store


def store_mark(settings: Settings) -> str:
    """What tells this store from others on the machine, be it open or not."""
    return MEMORY if settings.store.path == MEMORY else str(Path(settings.store.path).stat().st_ino)


def check_store(settings: Settings) -> Check:
    """Whether the store can be opened, or will be made, or is open in a worker that runs."""
    shown = settings.store.shown
    if settings.store.path != MEMORY and not Path(settings.store.path).exists():
        return Check("store", is_well=True, found=f"{shown}, to be made at the first start")
    try:
        DuckDBStore(settings.store.path).close()
    except StoreInUseError:
        return Check("store", is_well=True, found=f"{shown}, in use by another process: a running worker, as a rule")
    except StoreError as error:
        return Check("store", is_well=False, found=shown, advice=str(error))
    return Check("store", is_well=True, found=shown)


def batch_path(settings: Settings) -> BatchPath:
    """The way from records to customers, as the settings have it."""
    return BatchPath(*_reader_and_writer(settings))


def counted_path(settings: Settings) -> CountedPath:
    """The same way, which counts what it decides."""
    return CountedPath(*_reader_and_writer(settings))


def _reader_and_writer(settings: Settings) -> tuple[Decoder, Composer]:
    composer = Composer(
        churned_topic=settings.topics.churned,
        dead_letter_suffix=settings.topics.dead_letter_suffix,
        source=settings.events.source,
        group_id=settings.kafka.group_id,
    )
    return Decoder(settings.topics.signup, settings.batch.max_value_bytes), composer


def create() -> FastStream:
    """The application, from the environment's settings; exits with 78 and one sentence a mistake in them."""
    try:
        return Worker(Settings.read()).app
    except (SettingsError, Refusal) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(Exit.CONFIGURATION) from None


class Worker:
    """One running worker: its application, and everything that lives as long as that runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics(settings.topics)
        broker = KafkaBroker(
            kafka.client_options(settings.kafka)["bootstrap_servers"],
            security=kafka.security(settings.kafka),
            allow_auto_create_topics=False,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
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
        raw_headers.install()
        self._started_at = datetime.now(UTC)
        self._stop = Stop()
        self._thread = StoreThread()
        try:
            await checks.require_topics(self._settings)
            before = await members_of(self._settings)  # while they can still be told apart
            self._store = await self._thread.call(open_store, self._settings)
            reach("store-opened")
            self._socket = http.listen(self._settings.http) if self._settings.http.enabled else None
        except Refusal as refusal:
            self._thread.close()
            log.critical("cannot start", why=str(refusal))
            raise SystemExit(refusal.code) from None
        self._answering = Answering(self._store, self._settings)
        self._store_watch = StoreWatch(self._store, self._thread)
        self._relay = Relay(self._settings, self._store, self._thread, self._stop, self._metrics)
        path = batch_path(self._settings)
        self._consumer = Consumer(
            self._settings, self._store, self._thread, path, self._relay, self._stop, self._metrics
        )
        self._consumer.subscribe(self._broker)
        if store := self._store.sole_owner_of:
            self._tasks.append(asyncio.create_task(take_out_the_dead(self._settings, before, store), name="membership"))
        gc.disable()  # the consumer collects between batches
        gc.freeze()
        try:
            yield
        finally:
            await self._relay.close()
            await self._answering.close()
            await self._thread.call(self._store.close)
            self._thread.close()
            if self._socket is not None:
                self._socket.close()
            gc.enable()
        log.info("stopped", exit_code=int(self._stop.code))
        if self._stop.code is not Exit.DONE:
            raise SystemExit(self._stop.code)

    async def _after_startup(self) -> None:
        _on_second_signal_end_at_once(self.app.exit)
        log.info("started", group=self._settings.kafka.group_id, store=self._settings.store.shown)
        self._consumer.polling.watch()
        parts = [
            self._relay_once_assigned,
            self._consumer.run_mirror,
            self._watch_store,
            self._watch,
            self._exit_when_asked,
        ]
        if self._socket is not None:
            parts.append(self._serve)
        self._tasks += [asyncio.create_task(part(), name=part.__name__.strip("_")) for part in parts]

    async def _relay_once_assigned(self) -> None:
        """Publish, but not before the group has accepted this worker: a new relay ends the one that publishes now."""
        await self._consumer.assignment.is_set.wait()
        await self._relay.run()

    async def _serve(self) -> None:
        assert self._socket is not None  # noqa: S101 - only then is this a part
        host, port = self._socket.getsockname()[:2]
        log.info("serving", url=f"http://{host}:{port}")
        health = Health(self._consumer, self._relay, self._store_watch)
        gauges = Gauges(self._consumer, health, self._store, self._settings.topics)
        page = OperationsPage(self._settings, self._metrics)
        shown = ShownRoutes(self._metrics, gauges, page, lambda: health.report(self._started_at))
        asked = AskRoutes(
            self._answering,
            lambda: health.report(self._started_at),
            store_mark(self._settings),
            self._settings.http.host,
        )
        application = http.application(health, self._settings.topics, asked, shown)
        await http.Server(application).serve(sockets=[self._socket])

    async def _watch_store(self) -> None:
        await self._store_watch.run(is_busy=lambda: self._consumer.batch_began is not None)

    async def _watch(self) -> None:
        """Notice what would otherwise die in silence."""
        while True:
            await asyncio.sleep(WATCH_EVERY_SECONDS)
            if not self._consumer.is_running():
                self._stop.for_safety("the consumer's loop has ended by itself. Start the worker again; report the log")
                return
            if ended := self._consumer.polling.ended_task:
                self._stop.for_safety(f"aiokafka's task of {ended} has ended. Start the worker again; report the log")
                return
            for task in self._tasks:
                if task.done() and not task.cancelled() and (error := task.exception()):
                    log.error("a part of the worker failed", part=task.get_name(), exc_info=error)
                    self._stop.for_safety(
                        f"{task.get_name()} failed: {error!r}. Start the worker again; report the log"
                    )
                    return

    async def _exit_when_asked(self) -> None:
        await self._stop.wait()
        self.app.exit()

    async def _drain(self) -> None:
        """Finish the batch in hand, publish what is in the outbox within a bound, and tell the group how far we are."""
        self._stop.ask()
        if self._tasks:
            await self._consumer.drain()
            if self._consumer.assignment.is_set.is_set():
                await self._publish_the_rest()
            await self._consumer.tell_the_group()
        reach("drained")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish_the_rest(self) -> None:
        try:
            await asyncio.wait_for(self._relay.caught_up(), PUBLISH_ON_STOP_SECONDS)
        except TimeoutError:
            log.warning("not everything is published; the next start goes on with it")


def _on_second_signal_end_at_once(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        log.info("stopping", signal=number.name)
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, at_once, each)
        stop()

    def at_once(number: signal.Signals) -> None:
        # The store's transaction and Kafka's are all or nothing: what is not committed is done again at the next start.
        log.warning("stopping at once", signal=number.name)
        sys.stderr.flush()
        os._exit(128 + number)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, first, each)
