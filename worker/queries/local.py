"""Access to the store from this process, while no other process has a DuckDB file open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from worker.bootstrap import open_view
from worker.errors import Exit, Refusal
from worker.settings import Settings
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError
from worker.stores.reading import StoreView

T = TypeVar("T")


def read_store(settings: Settings, read: Callable[[StoreView], T]) -> T:
    """Open the store for reading and return the result of `read`.

    Raises `StoreInUseError` if another process has the store, and `Refusal` if it cannot be read.
    """
    try:
        with open_view(settings) as view:
            return read(view)
    except StoreInUseError:
        raise
    except NoStoreError as error:
        raise no_store(error) from error
    except StoreError as error:
        raise Refusal(str(error), Exit.UNREACHABLE) from error


def no_store(error: NoStoreError) -> Refusal:
    """Describe a store that does not exist."""
    return Refusal(f"{error}. No worker has run here yet, or CUSTOMER_WORKER_STORE__URL is wrong", Exit.UNREACHABLE)
