"""Loading of modules at the start of a process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Load modules without garbage collection.

    Loading makes some 100,000 objects that live as long as the process. To look for garbage among them takes an eighth
    of the CPU time of loading; they are also left out of later collections.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
