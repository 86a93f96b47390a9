"""The lock of a redrive: one runs beside each store at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.bootstrap import backend
from worker.errors import Exit, Refusal
from worker.settings import Settings
from worker.stores.errors import StoreError, StoreInUseError


@contextmanager
def redrive_lock(settings: Settings) -> Iterator[Callable[[], None]]:
    """Hold the lock of the one redrive beside a store: a second one would not see all that the first one sends.

    Yields a callable that raises `StoreError` once the lock is lost, as a connection has ended. Raises `Refusal`.
    """
    try:
        with backend(settings.store).redrive_lock() as require_held:
            yield require_held
    except StoreInUseError:
        raise Refusal("another redrive runs on this store: wait for its end, or stop it", Exit.NO) from None
    except StoreError as error:
        raise Refusal(
            f"{error}. Run this again: it looks which records are out, and sends the rest", Exit.UNREACHABLE
        ) from error
