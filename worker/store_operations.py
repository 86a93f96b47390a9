"""Operations on a whole store, for commands: a check, the migration, a copy.

Errors are raised as a `Refusal` with the remedy.
"""

from __future__ import annotations

from collections.abc import Callable

from worker.bootstrap import backend
from worker.errors import Exit, Refusal
from worker.monitoring.checks import Check
from worker.settings import Settings
from worker.settings import Store as StoreSettings
from worker.stores.errors import NoStoreError, StoreError, StoreInUseError


def check_store(settings: Settings) -> Check:
    """Check that the store can be opened, is open in a running worker, or will be created."""
    shown = settings.store.shown
    try:
        backend(settings.store).prove_usable()
    except NoStoreError:
        return Check("store", is_well=True, found=f"{shown}, created at the first start")
    except StoreInUseError:
        return Check("store", is_well=True, found=f"{shown}, in use by another process, usually a running worker")
    except StoreError as error:
        return Check("store", is_well=False, found=shown, advice=str(error))
    return Check("store", is_well=True, found=shown)


def migrate(settings: Settings) -> tuple[int, int]:
    """Bring the store's tables to this worker's version; returns the version before and after. Raises `Refusal`."""
    try:
        return backend(settings.store).migrate()
    except StoreInUseError as error:
        raise Refusal(
            f"the store {settings.store.shown} is in use by a running worker or another command. Stop the worker, run "
            "customer-worker migrate again, then start the worker",
            Exit.UNREACHABLE,
        ) from error
    except StoreError as error:
        raise Refusal(str(error), Exit.UNREACHABLE) from error


def copy_store(source: StoreSettings, target: StoreSettings, progress: Callable[[int, int], None]) -> int:
    """Copy a whole DuckDB store to an empty PostgreSQL; returns the number of rows. Raises `Refusal`."""
    copied, to = backend(source), backend(target)
    if copied.is_shared or not to.is_shared:
        raise Refusal("only a copy from duckdb:///FILE to postgresql://… is supported", Exit.USAGE)
    try:
        return copied.copy_to(to, progress)
    except StoreInUseError as error:
        raise Refusal(f"{error}. Stop the workers before the copy", Exit.UNREACHABLE) from error
    except StoreError as error:
        raise Refusal(str(error), Exit.UNREACHABLE) from error
