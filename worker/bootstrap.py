"""What is put together from the settings alone, for the worker and for commands. It alone knows the concrete stores.

Each is imported where it is opened: the drivers take longer to load than most commands take for their answer.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from worker.errors import Exit, Refusal
from worker.messages.inbound import Decoder
from worker.messages.outgoing import Composer
from worker.monitoring.checks import Check
from worker.processing.batch import BatchProcessor
from worker.processing.dry_run import CountingProcessor
from worker.settings import Settings
from worker.settings import Store as StoreSettings
from worker.stores.churns import ValueReader
from worker.stores.duckdb import file as duckdb_file
from worker.stores.duckdb.file import MEMORY, migrate_file, open_nothing
from worker.stores.port import NoStoreError, Store, StoreError, StoreInUseError
from worker.stores.reading import StoreView

log = structlog.get_logger(__name__)

IN_USE_SECONDS = 5.0


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
        return waiting(_open, settings)
    except StoreError as error:
        raise Refusal(str(error), Exit.UNREACHABLE) from error


def _open(settings: Settings) -> Store:
    store = settings.store
    if store.is_postgres:
        from worker.stores.postgres.store import PostgresStore

        return PostgresStore(store.url.get_secret_value(), store.shown, store.locks)
    from worker.stores.duckdb.store import DuckDBStore

    return DuckDBStore(store.path)


def open_view(settings: Settings) -> StoreView:
    """The store that the settings name, for reading it in this process. Raises `StoreError`.

    It is to be closed soon: with DuckDB, a worker does not start meanwhile.
    """
    if settings.store.is_postgres:
        from worker.stores.postgres import view as postgres_view

        return postgres_view.open_view(settings.store.url.get_secret_value(), settings.store.shown)
    if settings.store.path == MEMORY:
        raise StoreInUseError("the store is in the memory of its worker")
    from worker.stores.duckdb import view as duckdb_view

    return duckdb_view.open_view(settings.store.path)


@contextmanager
def open_dry_run(settings: Settings, tell: Callable[[int, int], None]) -> Iterator[Store]:
    """The store to try something out on, itself left alone: a copy of a DuckDB file, one moment of PostgreSQL.

    `tell` is told of how many bytes are copied, of how many. Raises `StoreError` as `duckdb_copy.copied` does.
    """
    if settings.store.is_postgres:
        from worker.stores.postgres.dry_run import PostgresDryRun

        with closing(PostgresDryRun(settings.store.url.get_secret_value(), settings.store.shown)) as trial:
            yield trial
        return
    from worker.stores.duckdb import copy as duckdb_copy
    from worker.stores.duckdb.store import DuckDBStore

    with duckdb_copy.copied(settings.store.path, tell) as path, closing(DuckDBStore(path)) as store:
        yield store


@contextmanager
def redrive_lock(settings: Settings) -> Iterator[Callable[[], None]]:
    """One at a time beside each store: a second one would not see all that the first one sends.

    What it gives raises where it is the only one no longer, as a connection has ended. Raises `Refusal`.
    """
    store = settings.store
    try:
        if store.is_postgres:
            from worker.stores.postgres import locks as postgres_locks

            with postgres_locks.only_redrive(store.locks, store.url.get_secret_value(), store.shown) as require_held:
                yield require_held
        else:
            with duckdb_file.only_redrive(store.path):
                yield lambda: None
    except StoreInUseError:
        raise Refusal("another redrive runs on this store: wait for its end, or stop it", Exit.NO) from None
    except StoreError as error:
        raise Refusal(
            f"{error}. Run this again: it looks which records are out, and sends the rest", Exit.UNREACHABLE
        ) from error


@contextmanager
def open_value_reader() -> Iterator[ValueReader]:
    """A reader of what is on `customer.churned`, which understands it as the store does."""
    from worker.stores.duckdb.values import DuckDBValueReader

    with closing(open_nothing()) as nothing:
        yield DuckDBValueReader(nothing)


def migrate(settings: Settings) -> tuple[int, int]:
    """Bring the store's tables to this worker's version; the version before and after. Raises `Refusal`."""
    store = settings.store
    try:
        if store.is_postgres:
            from worker.stores.postgres.store import migrate_store

            return migrate_store(store.url.get_secret_value(), store.shown)
        return migrate_file(store.path)
    except StoreInUseError as error:
        raise Refusal(
            f"the store {store.shown} is in the hands of a running worker, or of another command: stop the worker, run "
            "customer-worker migrate again, then start the worker",
            Exit.UNREACHABLE,
        ) from error
    except StoreError as error:
        raise Refusal(str(error), Exit.UNREACHABLE) from error


def copy_store(source: StoreSettings, target: StoreSettings, tell: Callable[[int, int], None]) -> int:
    """Copy a whole DuckDB store to an empty PostgreSQL; how many rows. Raises `Refusal`."""
    if source.is_postgres or not target.is_postgres:
        raise Refusal("a store is copied from duckdb:///FILE to postgresql://…, and no other way", Exit.USAGE)
    from worker.stores import duckdb_to_postgres

    try:
        return duckdb_to_postgres.copy_to_postgres(source.path, target.url.get_secret_value(), target.shown, tell)
    except StoreInUseError as error:
        raise Refusal(f"{error}. A copy is made while no worker runs", Exit.UNREACHABLE) from error
    except StoreError as error:
        raise Refusal(str(error), Exit.UNREACHABLE) from error


def store_identity(settings: Settings) -> str:
    """What tells this store from others on the machine, be it open or not."""
    if settings.store.is_postgres:
        return sha256(settings.store.shown.encode()).hexdigest()[:16]
    return MEMORY if settings.store.path == MEMORY else str(Path(settings.store.path).stat().st_ino)


def check_store(settings: Settings) -> Check:
    """Whether the store can be opened, or will be made, or is open in a worker that runs."""
    shown = settings.store.shown
    if settings.store.is_postgres:
        return _check_postgres(settings)
    if settings.store.path != MEMORY and not Path(settings.store.path).exists():
        return Check("store", is_well=True, found=f"{shown}, to be made at the first start")
    from worker.stores.duckdb.store import DuckDBStore

    try:
        DuckDBStore(settings.store.path).close()
    except StoreInUseError:
        return Check("store", is_well=True, found=f"{shown}, in use by another process: a running worker, as a rule")
    except StoreError as error:
        return Check("store", is_well=False, found=shown, advice=str(error))
    return Check("store", is_well=True, found=shown)


def _check_postgres(settings: Settings) -> Check:
    shown = settings.store.shown
    try:
        open_view(settings).close()
        _open(settings).close()  # which also proves that it can be written
    except NoStoreError:
        return Check("store", is_well=True, found=f"{shown}, to be made at the first start")
    except StoreError as error:
        return Check("store", is_well=False, found=shown, advice=str(error))
    return Check("store", is_well=True, found=shown)


def batch_path(settings: Settings) -> BatchProcessor:
    """The way from records to customers, as the settings have it."""
    return BatchProcessor(*_reader_and_writer(settings))


def counted_path(settings: Settings) -> CountingProcessor:
    """The same way, which counts what it decides."""
    return CountingProcessor(*_reader_and_writer(settings))


def _reader_and_writer(settings: Settings) -> tuple[Decoder, Composer]:
    composer = Composer(
        churned_topic=settings.topics.churned,
        dead_letter_suffix=settings.topics.dead_letter_suffix,
        group_id=settings.kafka.group_id,
    )
    return Decoder(settings.topics.signup, settings.batch.max_value_bytes), composer
