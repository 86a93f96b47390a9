"""The store for a command that changes it, which with DuckDB it can only while no worker runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker import bootstrap
from worker.errors import Exit, Refusal
from worker.settings import Settings
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError
from worker.stores.port import Store


@contextmanager
def own_store(settings: Settings) -> Iterator[Store]:
    """The store. Raises `Refusal` where there is none, where a worker has it, and where it fails."""
    try:
        bootstrap.open_view(settings).close()  # a command makes no store where there is none
        store = bootstrap.open_store(settings)
    except NoStoreError as error:
        advice = "no worker has run here yet, or CUSTOMER_WORKER_STORE__URL names another one"
        raise Refusal(f"{error}: {advice}", Exit.UNREACHABLE) from None
    except StoreInUseError:
        raise Refusal(
            f"the store {settings.store.shown} is in the hands of a running worker, and this command writes to it: "
            "stop the worker, run the command again, then start the worker",
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
