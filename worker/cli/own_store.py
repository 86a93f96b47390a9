"""Write access to the store for a command. With DuckDB, that requires that no worker runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker import bootstrap
from worker.errors import Exit, Refusal
from worker.queries.local import no_store
from worker.settings import Settings
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError
from worker.stores.port import Store


@contextmanager
def own_store(settings: Settings) -> Iterator[Store]:
    """Open the store. Raises `Refusal` if there is none, if a worker has it open, and if it fails."""
    try:
        bootstrap.open_view(settings).close()  # so that a command does not create a store
        store = bootstrap.open_store(settings)
    except NoStoreError as error:
        raise no_store(error) from None
    except StoreInUseError:
        raise Refusal(
            f"the store {settings.store.shown} is in use by a running worker, and this command writes to it. Stop the "
            "worker, run the command again, then start the worker",
            Exit.UNREACHABLE,
        ) from None
    except StoreError as error:
        raise Refusal(str(error), Exit.UNREACHABLE) from error
    try:
        yield store
    except StoreError as error:
        raise Refusal(f"{error}. Nothing was changed", Exit.UNREACHABLE) from error
    finally:
        store.close()
