"""The composition root: objects made from the settings alone, for the worker and for commands.

No other module imports the concrete stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from worker.errors import Exit, Refusal
from worker.messages.composer import Composer
from worker.messages.inbound import Decoder
from worker.processing.batch import BatchProcessor
from worker.processing.dry_run import CountingProcessor
from worker.settings import Settings
from worker.settings import Store as StoreSettings
from worker.stores.backend import Backend
from worker.stores.churns import ValueReader
from worker.stores.duckdb.backend import DuckDBBackend
from worker.stores.errors import StoreError, StoreInUseError
from worker.stores.port import Store
from worker.stores.postgres.backend import PostgresBackend
from worker.stores.reading import StoreView

log = structlog.get_logger(__name__)

IN_USE_SECONDS = 5.0


def backend(store: StoreSettings) -> Backend:
    """Return the backend of the store of the settings."""
    if store.is_postgres:
        return PostgresBackend(store.url.get_secret_value(), store.shown, store.locks)
    return DuckDBBackend(store.path)


def open_store(settings: Settings) -> Store:
    """Open the store of the settings. Raises `Refusal` if it cannot be opened.

    A command that reads the store has it open for a moment: this waits for it.
    """
    waiting = Retrying(
        wait=wait_fixed(0.1),
        stop=stop_after_delay(IN_USE_SECONDS),
        retry=retry_if_exception_type(StoreInUseError),
        before_sleep=lambda state: log.debug("store in use, waiting") if state.attempt_number == 1 else None,
        reraise=True,
    )
    try:
        return waiting(backend(settings.store).open_store)
    except StoreError as error:
        raise Refusal(str(error), Exit.UNREACHABLE) from error


def open_view(settings: Settings) -> StoreView:
    """Open the store for reading it in this process. Raises `StoreError`."""
    return backend(settings.store).open_view()


def open_dry_run(settings: Settings, progress: Callable[[int, int], None]) -> AbstractContextManager[Store]:
    """Open a store for a dry run, as `Backend.open_dry_run` does."""
    return backend(settings.store).open_dry_run(progress)


def store_identity(settings: Settings) -> str:
    """Return the identity of the store among those of the machine, open or not."""
    return backend(settings.store).identity


@contextmanager
def open_value_reader() -> Iterator[ValueReader]:
    """Open a reader of values on `customer.churned`, which adds them up as the store does."""
    from worker.stores.duckdb.file import open_nothing  # noqa: PLC0415 - as in `Backend`
    from worker.stores.duckdb.values import DuckDBValueReader  # noqa: PLC0415

    with closing(open_nothing()) as nothing:
        yield DuckDBValueReader(nothing)


def batch_path(settings: Settings) -> BatchProcessor:
    """Return the processor of batches."""
    return BatchProcessor(*_decoder_and_composer(settings))


def counted_path(settings: Settings) -> CountingProcessor:
    """Return the processor of batches that counts what it decides."""
    return CountingProcessor(*_decoder_and_composer(settings))


def _decoder_and_composer(settings: Settings) -> tuple[Decoder, Composer]:
    composer = Composer(
        churned_topic=settings.topics.churned,
        dead_letter_suffix=settings.topics.dead_letter_suffix,
        group_id=settings.kafka.group_id,
    )
    decoder = Decoder(
        settings.topics.signup,
        settings.batch.max_value_bytes,
        accept_framed=settings.schema_registry.accept_framed,
    )
    return decoder, composer
