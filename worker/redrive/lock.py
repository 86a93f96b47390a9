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
    """Hold the lock that admits one redrive per store: a second one would not see all records of the first one.

    Yields a callable that raises `StoreError` once the lock is lost because a connection has ended. Raises `Refusal`.
    """
    try:
        with backend(settings.store).redrive_lock() as require_held:
            yield require_held
    except StoreInUseError:
        raise Refusal("another redrive runs on this store. Wait until it has ended, or stop it", Exit.NO) from None
    except StoreError as error:
        raise Refusal(
            f"{error}. Run the command again: it sends the records that are not on the topic", Exit.UNREACHABLE
        ) from error
